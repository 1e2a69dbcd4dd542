"""The epochs: AdamW on a one-cycle schedule until the validation loss stops falling. Every epoch
can be resumed."""

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairway import errors
from fairway.config import sections
from fairway.training import losses, resuming, shares
from fairway.training.device import Choice
from fairway.training.families import base
from fairway.training.families.convolutional import ConvolutionalTraining

Inputs = dict[str, Tensor]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MEASURED_AT_ONCE = 4096
# a prime above the largest number of epochs: no two runs share the seed of an epoch
SEEDS_APART = 100_003


@dataclass(frozen=True)
class LoadedRows:
    """Inputs by name and the target of each row, on the device."""

    inputs: Inputs
    target: Tensor

    def take(self, places: Tensor) -> Inputs:
        return {name: value[places] for name, value in self.inputs.items()}


@dataclass(frozen=True)
class Descent:
    """What one step of descent needs."""

    network: nn.Module
    parallel: nn.Module  # the network, its gradients those of all processes
    share: shares.Share
    loss: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    augment: Callable[[Tensor], Tensor] | None
    choice: Choice

    @property
    def parts(self) -> dict[str, Any]:
        """What changes from step to step."""
        return {
            "network": self.network,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def __call__(self, inputs: Inputs, target: Tensor) -> Tensor:
        """Take the step on this share's inputs and the whole batch's target, and return its loss, left
        on the device so that nobody waits for it."""
        if self.augment is not None and len(inputs.get("image", ())):
            inputs = {**inputs, "image": self.augment(inputs["image"])}
        with torch.autocast(
            self.choice.device,
            dtype=PRECISIONS[self.choice.precision],
            enabled=self.choice.precision != "float32",
        ):
            outputs = self.share.whole(self.parallel(**inputs), count=len(target))
            loss: Tensor = self.loss(outputs, target)
        self.optimiser.zero_grad(set_to_none=True)
        # the processes' gradients are parts of a sum, and their mean is taken
        self.scaler.scale(loss * self.share.of).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        return loss.detach()


def train(
    network: nn.Module,
    section: base.NetworkTraining,
    *,
    rows: LoadedRows,
    held_out: LoadedRows,
    side: losses.Side,
    choice: Choice,
    kept: Path,
    identity: Mapping[str, Any],
    resume: bool,
    progress: base.Progress | None,
    share: shares.Share = shares.ALONE,
) -> resuming.Progressed:
    """Return the history and the best weights; raises TrainingError where the loss is no number any
    more.

    Each process of a training calls it with its share; the first one keeps the state and is the only
    one that tells `progress`.
    """
    step = _step(network, section, target=rows.target, side=side, choice=choice, share=share)
    before = resuming.read(kept, identity=identity) if resume and share.first else None
    done = resuming.restore(share.agreed(before), parts=step.parts)
    while done.epoch < section.epochs and done.epoch - done.best_epoch < section.patience:
        done.epoch += 1
        row = {
            "epoch": done.epoch,
            "train_loss": _epoch(step, section, rows=rows, number=done.epoch),
            **measure(network, held_out, side=side, share=share),
        }
        row = share.agreed(row)  # when to stop is one decision
        _finite(row, section)
        done.history.append(row)
        if row["validation_loss"] < done.best_loss:
            done.best_loss, done.best_epoch = row["validation_loss"], done.epoch
            done.best = {
                name: value.detach().cpu().clone() for name, value in network.state_dict().items()
            }
        if share.first:
            resuming.keep(kept, parts=step.parts, done=done, identity=identity)
            if progress is not None:
                progress(row)
    return done


@torch.no_grad()
def measure(
    network: nn.Module,
    rows: LoadedRows,
    *,
    side: losses.Side,
    share: shares.Share = shares.ALONE,
) -> dict[str, float]:
    """Return validation loss and its kin, in full precision and without class weights: as the
    served model will be judged."""
    network.eval()
    first, end = share.bounds(len(rows.target))
    # a share without rows is asked too: the others need the shape of its answers
    starts = range(first, max(end, first + 1), MEASURED_AT_ONCE)
    own = torch.cat(
        [
            network(
                **{
                    name: value[start : min(start + MEASURED_AT_ONCE, end)]
                    for name, value in rows.inputs.items()
                }
            )
            for start in starts
        ]
    ).float()
    return side.measure(share.whole(own, count=len(rows.target)), rows.target)


def batches(count: int, *, size: int, seed: int) -> Sequence[Tensor]:
    """Return the rows' places in batches, in the order that the seed fixes; a last batch of one row
    joins the one before."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    parts = list(torch.split(order, size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:  # batch norm has no deviation of a single row
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _step(
    network: nn.Module,
    section: base.NetworkTraining,
    *,
    target: Tensor,
    side: losses.Side,
    choice: Choice,
    share: shares.Share,
) -> Descent:
    steps = len(batches(len(target), size=section.batch_size, seed=0)) * section.epochs
    parallel = share.parallel(network)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=section.learning_rate, weight_decay=section.weight_decay
    )
    # One step more than are taken: the schedule is also stepped after the last, and has no plan for
    # a single one.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, section.learning_rate, total_steps=steps + 1
    )
    scaler = torch.amp.GradScaler(choice.device, enabled=choice.precision == "float16")
    loss = side.loss(section, target=target)
    return Descent(
        network,
        parallel,
        share,
        loss,
        optimiser,
        schedule,
        scaler,
        _augmentation(section),
        choice,
    )


def _augmentation(section: base.NetworkTraining) -> Callable[[Tensor], Tensor] | None:
    if not isinstance(section, ConvolutionalTraining):
        return None
    if section.augmentation == sections.Augmentation():
        return None
    from fairway.training import augmentation  # torchvision

    return augmentation.changes(section.augmentation)


def _epoch(step: Descent, section: base.NetworkTraining, *, rows: LoadedRows, number: int) -> float:
    """Return the mean loss of one epoch."""
    # of the epoch, not of the run: a resumed one draws the same
    seed = section.seed * SEEDS_APART + number
    torch.manual_seed(step.share.seed(seed))
    step.parallel.train()
    total = torch.zeros((), device=rows.target.device)
    with warnings.catch_warnings(), _repeatable(rows.target.device):
        # float16 skips a step whose gradients overflow, and the schedule then complains that it
        # came first
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for places in batches(len(rows.target), size=section.batch_size, seed=seed):
            there = places.to(rows.target.device)
            first, end = step.share.bounds(len(there))
            total += step(rows.take(there[first:end]), rows.target[there]) * len(places)
    return float(total) / len(rows.target)


def _repeatable(place: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Have cuDNN choose kernels that give the same sums each time; the CPU has nothing to choose."""
    if place.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def _finite(row: Mapping[str, Any], section: base.NetworkTraining) -> None:
    for name in ("train_loss", "validation_loss"):
        if not math.isfinite(row[name]):
            raise errors.TrainingError(
                f"the {name.replace('_', ' ')} became {row[name]} in epoch {row['epoch']}: wanted a finite number; "
                f"lower training.learningRate ({section.learning_rate:g}), or look for huge values in the data"
            )
