"""The training stage: a network fitted with early stopping, its state kept after every epoch, the best of it exported."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairway import artifacts, errors
from fairway.config import schema
from fairway.data import prepare, splits
from fairway.training import device as devices
from fairway.training import export, model, user

Inputs = dict[str, Tensor]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Progress = Callable[[Mapping[str, Any]], None]


@dataclass
class Progressed:
    """What a killed run needs to go on from: everything that the next epoch depends on."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    section: schema.Training, *, dataset: Path, out: Path, resume: bool = True, progress: Progress | None = None
) -> artifacts.Checkpoint:
    """Gives the checkpoint in `out`: model.onnx, and for a torch model its weights and its torch.export program.

    The same section and dataset give the same weights on the same machine, also when the run was killed and resumed. Raises
    TrainingError where the data cannot be learnt from or the loss is no number any more.
    """
    data = splits.load(dataset)
    began = time.monotonic()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        if section.family == "function":
            made = user.fit(section, data=data, folder=folder)
        else:
            made = _network(section, data=data, folder=folder, state=out.with_name(f".{out.name}.resume.pt"), resume=resume, progress=progress)
        version = artifacts.read_json(dataset / "dataset.json")["version"]
        record = artifacts.Checkpoint(
            path=str(out), dataset_version=version, family=section.family, seed=section.seed, seconds=time.monotonic() - began,
            configuration=section.model_dump(mode="json", by_alias=True), **made)
        artifacts.write_json(folder / "checkpoint.json", record)
        folder.chmod(0o755)
        prepare.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    out.with_name(f".{out.name}.resume.pt").unlink(missing_ok=True)
    return record


def machine() -> devices.Machine:
    """Gives what this machine has."""
    cuda = torch.cuda.is_available()
    return devices.Machine(cuda=cuda, bfloat16=cuda and torch.cuda.is_bf16_supported(), mps=torch.backends.mps.is_available())


def _network(
    section: schema.Training, *, data: splits.Splits, folder: Path, state: Path, resume: bool, progress: Progress | None
) -> dict[str, Any]:
    """Fits one of our networks and exports its best epoch."""
    choice = devices.choose(section, machine=machine())
    if section.threads:
        torch.set_num_threads(section.threads)
    train, validation = data.train, data.validation
    inputs = _tensors(train.inputs(), choice.device)
    torch.manual_seed(section.seed)
    network = model.build(section, shapes={name: tuple(value.shape[1:]) for name, value in inputs.items()},
                          cardinalities=data.preprocessor.cardinalities, classes=len(data.schema.classes)).to(choice.device)
    progressed = _train(network, section, choice=choice, inputs=inputs, target=torch.from_numpy(train.target).to(choice.device),
                        held_out=_tensors(validation.inputs(), choice.device), truth=torch.from_numpy(validation.target).to(choice.device),
                        state=state, resume=resume, progress=progress)
    network.load_state_dict(progressed.best)
    difference = export.network(network.to("cpu").eval(), example=_tensors(validation.inputs(), "cpu"), folder=folder)
    return {"layout": "named", "epochs": progressed.epoch, "best_epoch": progressed.best_epoch, "device": choice.device,
            "precision": choice.precision, "history": tuple(progressed.history), "onnx_max_difference": difference}


def _train(
    network: nn.Module, section: schema.Training, *, choice: devices.Choice, inputs: Inputs, target: Tensor, held_out: Inputs, truth: Tensor,
    state: Path, resume: bool, progress: Progress | None,
) -> Progressed:
    """AdamW on a one-cycle schedule until the validation loss stops falling; every epoch can be resumed from."""
    steps = max(1, -(-len(target) // section.batch_size))
    optimiser = torch.optim.AdamW(network.parameters(), lr=section.learning_rate, weight_decay=section.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, section.learning_rate, total_steps=steps * section.epochs)
    scaler = torch.amp.GradScaler(choice.device, enabled=choice.precision == "float16")
    loss_of = nn.CrossEntropyLoss(weight=_weights(section, target, classes=_classes(network, inputs)))
    augment = model.augmentation(section.augmentation)
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule, "scaler": scaler}
    done = _restore(state, parts, identity=_identity(section, target)) if resume else Progressed()
    while done.epoch < section.epochs and done.epoch - done.best_epoch < section.patience:
        done.epoch += 1
        torch.manual_seed(section.seed * 100_003 + done.epoch)  # of the epoch, not of the run: a resumed one draws the same
        loss = 0.0
        network.train()
        for batch in _batches(len(target), section.batch_size, target.device):
            loss += _step(network, inputs, target, batch, loss_of=loss_of, augment=augment, choice=choice, optimiser=optimiser, scaler=scaler) * len(batch)
            schedule.step()
        row = {"epoch": done.epoch, "train_loss": loss / len(target), **_measure(network, held_out, truth)}
        if not np.isfinite(row["train_loss"]) or not np.isfinite(row["validation_loss"]):
            raise errors.TrainingError(f"the loss became {row['train_loss']} in epoch {done.epoch}: lower training.learningRate ({section.learning_rate})")
        done.history.append(row)
        if row["validation_loss"] < done.best_loss:
            done.best_loss, done.best_epoch = row["validation_loss"], done.epoch
            done.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        _keep(state, parts, done, identity=_identity(section, target))
        if progress is not None:
            progress(row)
    return done


def _step(
    network: nn.Module, inputs: Inputs, target: Tensor, batch: Tensor, *, loss_of: nn.Module, augment: nn.Module | None,
    choice: devices.Choice, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler,
) -> float:
    """Takes one step and gives its loss."""
    fed = {name: value[batch] for name, value in inputs.items()}
    if augment is not None and "image" in fed:
        fed["image"] = augment(fed["image"])
    with torch.autocast(choice.device, dtype=PRECISIONS[choice.precision], enabled=choice.precision != "float32"):
        loss = loss_of(network(**fed), target[batch])
    optimiser.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.step(optimiser)
    scaler.update()
    return float(loss.detach())


@torch.no_grad()
def _measure(network: nn.Module, inputs: Inputs, truth: Tensor) -> dict[str, float]:
    network.eval()
    chunks = [network(**{name: value[i:i + 4096] for name, value in inputs.items()}) for i in range(0, len(truth), 4096)]
    logits = torch.cat(chunks).float()
    return {"validation_loss": float(nn.functional.cross_entropy(logits, truth)), "validation_accuracy": float((logits.argmax(1) == truth).float().mean())}


def _batches(rows: int, size: int, place: torch.device) -> Iterator[Tensor]:
    order = torch.randperm(rows).to(place)
    whole = [batch for batch in torch.split(order, size) if len(batch) > 1]  # batch norm has no deviation of a single row
    yield from whole


def _weights(section: schema.Training, target: Tensor, *, classes: int) -> Tensor | None:
    if section.class_weights == "none":
        return None
    counts = torch.bincount(target, minlength=classes).clamp(min=1).float()
    return len(target) / (classes * counts)


@torch.no_grad()
def _classes(network: nn.Module, inputs: Inputs) -> int:
    network.eval()
    return int(network(**{name: value[:1] for name, value in inputs.items()}).shape[1])


def _tensors(arrays: Mapping[str, Any], place: str) -> Inputs:
    return {name: torch.from_numpy(np.ascontiguousarray(value)).to(place) for name, value in arrays.items()}


def _identity(section: schema.Training, target: Tensor) -> dict[str, Any]:
    return {"section": section.model_dump(mode="json"), "rows": len(target), "target": int((target * torch.arange(len(target), device=target.device)).sum())}


def _keep(path: Path, parts: Mapping[str, Any], done: Progressed, *, identity: Mapping[str, Any]) -> None:
    """Keeps what a killed run goes on from; by rename, so that it is whole or the one before."""
    temporary = path.with_suffix(".writing")
    torch.save({"identity": identity, "parts": {name: part.state_dict() for name, part in parts.items()}, "done": vars(done)}, temporary)
    temporary.replace(path)


def _restore(path: Path, parts: Mapping[str, Any], *, identity: Mapping[str, Any]) -> Progressed:
    """Gives where a killed run of the same section and data stood, or the beginning."""
    if not path.exists():
        return Progressed()
    kept = torch.load(path, weights_only=True)
    if kept["identity"] != identity:
        return Progressed()
    for name, part in parts.items():
        part.load_state_dict(kept["parts"][name])
    return Progressed(**kept["done"])
