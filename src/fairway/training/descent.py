"""The section's network, fitted, with the weights of its best epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairway.data import splits
from fairway.training import device as devices
from fairway.training import epochs, export, losses, networks, resuming, shares
from fairway.training.families import base


def fit(section: base.NetworkTraining, *, run: base.Run) -> export.Made:
    """Return the network with the weights of its best epoch; raises TrainingError where the data does
    not suit it."""
    choice = chosen(section)
    if section.processes > 1 or run.nodes.count > 1:
        from fairway.training import ranks

        done = ranks.train(section, run=run)
    else:
        done = learn(section, run=run, choice=choice)
    network = _network(section, data=run.data)
    network.load_state_dict(done.best)
    return export.Made(
        export.Network(network.eval(), inputs=run.data.validation.inputs(), schema=run.data.schema),
        {
            "layout": "named",
            "epochs": done.epoch,
            "best_epoch": done.best_epoch,
            "device": choice.device,
            "precision": choice.precision,
            "history": tuple(done.history),
        },
    )


def learn(
    section: base.NetworkTraining,
    *,
    run: base.Run,
    choice: devices.Choice,
    share: shares.Share = shares.ALONE,
) -> resuming.Progressed:
    """Return the history and the best weights, learnt by this process from its share of each batch."""
    data = run.data
    rows, held_out = (
        _rows(data.train, place=choice.device),
        _rows(data.validation, place=choice.device),
    )
    return epochs.train(
        _network(section, data=data).to(choice.device),
        section,
        rows=rows,
        held_out=held_out,
        side=losses.of(data.schema),
        choice=choice,
        kept=run.kept,
        identity=identity(section, run=run, choice=choice),
        resume=run.resume,
        progress=run.progress,
        share=share,
    )


def chosen(section: base.NetworkTraining) -> devices.Choice:
    """Return where and how precisely this machine computes; raises TrainingError where it cannot."""
    return devices.choose(section, machine=machine())


def identity(
    section: base.NetworkTraining, *, run: base.Run, choice: devices.Choice
) -> Mapping[str, Any]:
    """Return what a state that is gone on from must be of."""
    return {
        "section": section.model_dump(mode="json"),
        "dataset": run.version,
        "device": choice.device,
        "precision": choice.precision,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def machine() -> devices.Machine:
    """Return what this machine has."""
    cuda = torch.cuda.is_available()
    return devices.Machine(
        cuda=cuda,
        gpus=torch.cuda.device_count() if cuda else 0,
        bfloat16=cuda and torch.cuda.is_bf16_supported(),
        mps=torch.backends.mps.is_available(),
    )


def _network(section: base.NetworkTraining, *, data: splits.Splits) -> nn.Module:
    """Return the network with the weights that the seed draws."""
    torch.manual_seed(section.seed)
    one = data.validation.at(np.arange(len(data.validation))[:1])  # its shapes are those of all
    return networks.build(
        section,
        shapes={name: value.shape[1:] for name, value in one.inputs().items()},
        cardinalities=data.preprocessor.cardinalities,
        outputs=losses.of(data.schema).width,
    )


def _rows(split: splits.Split, *, place: str) -> epochs.LoadedRows:
    return epochs.LoadedRows(
        {name: _tensor(value, place) for name, value in split.inputs().items()},
        _tensor(split.target, place),
    )


def _tensor(values: NDArray[Any], place: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(place)
