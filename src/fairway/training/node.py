"""One node of a training on several, as Kubeflow Trainer starts it in each pod of a TrainJob.

python -m fairway.training.node DATASET OUT CONFIG      # the configuration as JSON, as a component gets it

DATASET and OUT are folders that all nodes have mounted, or addresses: the dataset is fetched by each node,
and the first one sends the checkpoint.

Which node this is, and where the first one listens, Trainer says in the variables of torchrun (PET_*).
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairway import addresses, errors
from fairway.addresses import parcels
from fairway.config import sections
from fairway.training.families import base

LARGEST = 64 << 30  # bytes of one file of the dataset


def nodes_of(environment: Mapping[str, str]) -> base.Nodes:
    """Return the nodes that the variables tell of; raises UsageError where they tell of none."""
    try:
        nodes = base.Nodes(
            count=int(environment["PET_NNODES"]),
            rank=int(environment["PET_NODE_RANK"]),
            address=environment["PET_MASTER_ADDR"],
            port=int(environment["PET_MASTER_PORT"]),
        )
    except (KeyError, ValueError) as error:
        raise errors.UsageError(
            f"{error} of the variables PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT: wanted what "
            "Kubeflow Trainer sets in the pods of a TrainJob; on one machine `fairway train` needs none"
        ) from error
    if not 0 <= nodes.rank < nodes.count:
        raise errors.UsageError(
            f"PET_NODE_RANK is {nodes.rank}: wanted 0 to {nodes.count - 1}, of PET_NNODES"
        )
    return nodes


def learn(config: sections.Config, *, dataset: Path, out: Path, nodes: base.Nodes) -> None:
    """Fit this node's part; the first node writes the checkpoint in `out` and prints each epoch."""
    section = config.training
    if not isinstance(section, base.NetworkTraining):
        raise errors.TrainingError(
            f"training.family is {section.family}, which learns on one node: wanted tabular or convolutional; leave "
            "the TrainJob out"
        )
    from fairway.training import fit

    if nodes.rank:
        fit.join(section, dataset=dataset, nodes=nodes)
    else:
        fit.fit(
            section,
            dataset=dataset,
            out=out,
            progress=_tell,
            nodes=nodes,
            workspace=config.pipeline.workspace,
        )


def run(config: sections.Config, *, dataset: str, out: str, nodes: base.Nodes) -> None:
    """Do the same with a dataset and an `out` that may be addresses."""
    with tempfile.TemporaryDirectory(prefix="fairway-node-") as scratch:
        here = Path(dataset)
        if "://" in dataset:
            here = Path(scratch) / "dataset"
            parcels.take(addresses.folder(dataset), out=here, named=dataset, largest=LARGEST)
        if "://" not in out:
            learn(config, dataset=here, out=Path(out), nodes=nodes)
            return
        place = addresses.need_writable(out)
        learn(config, dataset=here, out=Path(scratch) / "model", nodes=nodes)
        if nodes.rank == 0:
            parcels.send(Path(scratch) / "model", to=place)


def main(arguments: Sequence[str]) -> int:
    """Run a node; gives the exit status."""
    try:
        if len(arguments) != 3:
            raise errors.UsageError(f"{len(arguments)} arguments: wanted three, DATASET OUT CONFIG")
        dataset, out, config = arguments
        settings = sections.Config.model_validate_json(config)
        run(settings, dataset=dataset, out=out, nodes=nodes_of(os.environ))
    except errors.FairwayError as error:
        print(f"fairway: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _tell(row: Mapping[str, Any]) -> None:
    print(f"progress: epoch {row['epoch']} validation loss {row['validation_loss']:.4f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
