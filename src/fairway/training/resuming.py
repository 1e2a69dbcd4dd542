"""What a killed run goes on from: everything that the next epoch depends on, kept after every
epoch."""

import contextlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Progressed:
    """How far a run is. The random numbers are not kept: each epoch seeds its own."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    best: dict[str, "Tensor"] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def keep(
    path: Path, *, parts: Mapping[str, Any], done: Progressed, identity: Mapping[str, Any]
) -> None:
    """Write the state by rename, so that a reader finds this one whole or the one before."""
    import torch  # not above: what is fitted without it also forgets a state

    temporary = path.with_name(f"{path.name}.writing")
    torch.save(
        {
            "identity": identity,
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "done": vars(done),
        },
        temporary,
    )
    temporary.replace(path)


def read(path: Path, *, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the state that a run of the same section, data and device kept; None where there is none."""
    # none, or cut off: torch would take it for its old format and fail in many ways
    if not zipfile.is_zipfile(path):
        return None
    import torch

    try:
        kept: Mapping[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    # of another version: it is only a shortcut
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    return kept if kept["identity"] == identity else None


def restore(kept: Mapping[str, Any] | None, *, parts: Mapping[str, Any]) -> Progressed:
    """Return where the killed run that kept this stood, and set `parts` to it; else the beginning."""
    if kept is None:
        return Progressed()
    for name, part in parts.items():
        part.load_state_dict(kept["parts"][name])
    return progressed(kept)


def progressed(kept: Mapping[str, Any]) -> Progressed:
    """Return how far the run is that kept this."""
    return Progressed(**kept["done"])


def forget(path: Path) -> None:
    """Remove the state of a run that ended."""
    for name in (path.name, f"{path.name}.writing"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(name).unlink()
