"""The section's network, fitted, with the weights of its best epoch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fairway.data import splits
from fairway.training import device as devices
from fairway.training import epochs, export, losses, networks
from fairway.training.families import base


def fit(section: base.NetworkTraining, *, run: base.Run) -> export.Made:
    """Return the network with the weights of its best epoch; raises TrainingError where the data does
    not suit it."""
    data = run.data
    choice = devices.choose(section, machine=machine())
    rows, held_out = (
        _rows(data.train, place=choice.device),
        _rows(data.validation, place=choice.device),
    )
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
        "dataset": run.version,
        "device": choice.device,
        "precision": choice.precision,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }
    done = epochs.train(
        network,
        section,
        rows=rows,
        held_out=held_out,
        side=side,
        choice=choice,
        kept=run.kept,
        identity=identity,
        resume=run.resume,
        progress=run.progress,
    )
    network.load_state_dict(done.best)
    return export.Made(
        export.Network(
            network.to("cpu").eval(), inputs=data.validation.inputs(), schema=data.schema
        ),
        {
            "layout": "named",
            "epochs": done.epoch,
            "best_epoch": done.best_epoch,
            "device": choice.device,
            "precision": choice.precision,
            "history": tuple(done.history),
        },
    )


def machine() -> devices.Machine:
    """Return what this machine has."""
    cuda = torch.cuda.is_available()
    return devices.Machine(
        cuda=cuda,
        bfloat16=cuda and torch.cuda.is_bf16_supported(),
        mps=torch.backends.mps.is_available(),
    )


def _rows(split: splits.Split, *, place: str) -> epochs.LoadedRows:
    return epochs.LoadedRows(
        {name: _tensor(value, place) for name, value in split.inputs().items()},
        _tensor(split.target, place),
    )


def _tensor(values: NDArray[Any], place: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(place)
