"""The training stage: a model fitted on the prepared splits and exported, so that nothing of torch is needed to serve
it."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import splits
from fairway.model import tasks
from fairway.training import device as devices
from fairway.training import export, loop, losses, networks, state, user


def fit(
    section: sections.Training, *, dataset: Path, out: Path, resume: bool = True, progress: loop.Progress | None = None
) -> artifacts.Checkpoint:
    """Return the checkpoint in `out`: model.onnx, and for a torch model its weights and its torch.export program.

    The same section and dataset give the same weights on the same machine, also when the run was killed and resumed
    (its state is kept beside `out` until it ends). `progress` is called after each epoch with that epoch's row of the
    history. Raises TrainingError where the data cannot be learnt from or the loss is no number any more.
    """
    data = splits.load(dataset)
    version = _version(dataset)
    _learnable(data)
    began = time.monotonic()
    kept = out.with_name(f".{out.name}.resume.pt")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _threads(section.threads):
        if section.family == "function":
            made = user.fit(section, data=data)
        else:
            made = _network(section, data=data, version=version, kept=kept, resume=resume, progress=progress)
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
    state.forget(kept)
    return record


def machine() -> devices.Machine:
    """Return what this machine has."""
    cuda = torch.cuda.is_available()
    return devices.Machine(
        cuda=cuda, bfloat16=cuda and torch.cuda.is_bf16_supported(), mps=torch.backends.mps.is_available()
    )


def _network(
    section: sections.Training,
    *,
    data: splits.Splits,
    version: str,
    kept: Path,
    resume: bool,
    progress: loop.Progress | None,
) -> export.Made:
    """Return one of our networks with the weights of its best epoch."""
    choice = devices.choose(section, machine=machine())
    rows, held_out = _rows(data.train, place=choice.device), _rows(data.validation, place=choice.device)
    side = losses.of(data.schema)
    torch.manual_seed(section.seed)
    network = networks.build(
        section,
        shapes={name: tuple(value.shape[1:]) for name, value in rows.inputs.items()},
        cardinalities=data.preprocessor.cardinalities,
        outputs=side.width,
    ).to(choice.device)
    identity = {
        "section": section.model_dump(mode="json"),
        "dataset": version,
        "device": choice.device,
        "precision": choice.precision,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }
    done = loop.train(
        network,
        section,
        rows=rows,
        held_out=held_out,
        side=side,
        choice=choice,
        kept=kept,
        identity=identity,
        resume=resume,
        progress=progress,
    )
    network.load_state_dict(done.best)
    return export.Made(
        export.Network(network.to("cpu").eval(), inputs=data.validation.inputs(), schema=data.schema),
        {
            "layout": "named",
            "epochs": done.epoch,
            "best_epoch": done.best_epoch,
            "device": choice.device,
            "precision": choice.precision,
            "history": tuple(done.history),
        },
    )


def _rows(split: splits.Split, *, place: str) -> loop.Rows:
    return loop.Rows(
        {name: _tensor(value, place) for name, value in split.inputs().items()}, _tensor(split.target, place)
    )


def _tensor(values: NDArray[Any], place: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(place)


def _version(dataset: Path) -> str:
    try:
        record: Mapping[str, Any] = artifacts.read_json(dataset / "dataset.json")
        return str(record["version"])
    except (OSError, ValueError, KeyError) as error:
        raise errors.DataError(f"{dataset} is no prepared dataset ({error}): run `fairway prepare`") from error


def _learnable(data: splits.Splits) -> None:
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
def _threads(count: int) -> Iterator[None]:
    """`training.threads` for this stage only: what follows it in the same process keeps its own choice."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
