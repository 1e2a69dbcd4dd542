"""One node of a training on several, as Kubeflow Trainer starts it in each pod of a TrainJob.

python -m fairway.training.node DATASET OUT CONFIG      # the configuration as JSON, as a component gets it

Which node this is, and where the first one listens, Trainer says in the variables of torchrun (PET_*).
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairway import errors
from fairway.config import sections
from fairway.training.families import base


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
        fit.fit(section, dataset=dataset, out=out, progress=_tell, nodes=nodes)


def main(arguments: Sequence[str]) -> int:
    """Run a node; gives the exit status."""
    try:
        if len(arguments) != 3:
            raise errors.UsageError(f"{len(arguments)} arguments: wanted three, DATASET OUT CONFIG")
        dataset, out, config = arguments
        settings = sections.Config.model_validate_json(config)
        learn(settings, dataset=Path(dataset), out=Path(out), nodes=nodes_of(os.environ))
    except errors.FairwayError as error:
        print(f"fairway: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _tell(row: Mapping[str, Any]) -> None:
    print(f"progress: epoch {row['epoch']} validation loss {row['validation_loss']:.4f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
