"""The training stage: a model fitted on the prepared splits and exported, so that nothing of torch
is needed to serve it."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairway import artifacts, errors, files, garbage
from fairway.config import sections
from fairway.data import splits
from fairway.model import kinds, tasks
from fairway.training import export, families, mirror, resuming
from fairway.training.families import base


def fit(
    section: sections.Training,
    *,
    dataset: Path,
    out: Path,
    resume: bool = True,
    progress: base.Progress | None = None,
    nodes: base.Nodes = base.Nodes(),  # noqa: B008 - frozen
    workspace: str | None = None,
) -> artifacts.Checkpoint:
    """Return the checkpoint in `out`: model.onnx, and for a torch model its weights and its
    torch.export program.

    The same section and dataset give the same weights on the same machine, also when the run was
    killed and resumed (its state is kept beside `out` until it ends). `progress` is called after
    each epoch with that epoch's row of the history. Raises ConfigError for a family that does not
    fit the data, TrainingError where the data cannot be learnt from or the loss is no number any
    more.

    `workspace` is an address where the state is copied to besides, every half minute, and taken from
    where none lies here: what a pod on another node goes on from.

    The first of several `nodes` calls this, the others `join`; the dataset lies on each of them.
    """
    data = splits.load(dataset)
    version = _version(dataset)
    _learnable(data, section)
    began = time.monotonic()
    kept = out.with_name(f".{out.name}.resume.pt")
    out.parent.mkdir(parents=True, exist_ok=True)
    identity = {"section": section.model_dump(mode="json"), "dataset": version}
    with garbage.seldom(), _threads(section):
        run = base.Run(
            data=data,
            version=version,
            kept=kept,
            resume=resume,
            progress=_mirrored(progress, kept=kept, workspace=workspace, identity=identity),
            nodes=nodes,
        )
        made = families.fit(section, run=run)
        with files.replacing(out, records=artifacts.RECORDS) as folder:
            difference = export.write(made.trained, target=data.validation.target, folder=folder)
            record = artifacts.Checkpoint(
                path=str(out),
                dataset_version=version,
                family=section.family,
                seed=section.seed,
                seconds=time.monotonic() - began,
                configuration=section.model_dump(mode="json", by_alias=True),
                onnx_max_difference=difference,
                **made.fields,
            )
            artifacts.write_json(folder / "checkpoint.json", record)
    resuming.forget(kept)
    return record


def _mirrored(
    progress: base.Progress | None, *, kept: Path, workspace: str | None, identity: object
) -> base.Progress | None:
    """Return `progress`, which then keeps the state at the workspace too; fetch what lies there."""
    if workspace is None:
        return progress
    copies = mirror.StateMirror(workspace, identity=identity)
    copies.fetch(kept)

    def told(row: Mapping[str, Any]) -> None:
        copies.keep(kept)
        if progress is not None:
            progress(row)

    return told


def join(section: base.NetworkTraining, *, dataset: Path, nodes: base.Nodes) -> None:
    """Fit this node's part of a network that the first node's `fit` gives; raises as it does."""
    from fairway.training import ranks

    data = splits.load(dataset)
    _learnable(data, section)
    with garbage.seldom(), _threads(section):
        # rank 0 alone keeps and reads a state
        run = base.Run(
            data=data,
            version=_version(dataset),
            kept=dataset / "unused",
            resume=False,
            progress=None,
            nodes=nodes,
        )
        ranks.join(section, run=run)


def _version(dataset: Path) -> str:
    try:
        record: Mapping[str, Any] = artifacts.read_json(dataset / "dataset.json")
        return str(record["version"])
    except (OSError, ValueError, KeyError) as error:
        raise errors.DataError(
            f"{dataset} is no prepared dataset ({error}): run `fairway prepare`"
        ) from error


def _learnable(data: splits.Splits, section: sections.Training) -> None:
    inputs = dict.fromkeys(kinds.of(feature).input for feature in data.schema.features)
    unfit = families.unfit(section.family, inputs=inputs)
    if unfit is not None:
        raise errors.ConfigError(unfit)
    for name, split in (("training", data.train), ("validation", data.validation)):
        if not len(split):
            raise errors.TrainingError(
                f"the {name} split of {data.path} has no rows: wanted some; prepare the data with more rows "
                "or another split"
            )
    why = tasks.of(data.schema).unlearnable(data.train.target, data.schema)
    if why is not None:
        raise errors.TrainingError(f"all training rows of {data.path} {why}")


@contextlib.contextmanager
def _threads(section: sections.Training) -> Iterator[None]:
    """`training.threads` for this stage only: what follows it in the same process keeps its own
    choice."""
    if not section.TORCH:
        yield
        return
    import torch

    before = torch.get_num_threads()
    if section.threads:
        torch.set_num_threads(section.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
