"""What a monitor that is not beside the store concludes: steps that are stored together, by the one
monitor whose turn it is.

Each batch takes a turn, and names the last one that its sender knows. Where another monitor wrote
in between, the batch is refused: whoever was overtaken reads where the other has come to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import archive, cloudevents

MOST_STEPS = 100
KEYS = ("monitor/{}", "monitor/{}/usual", "retraining/{}", "turn/{}")


class Overtaken(errors.Temporary):
    """Another monitor has concluded since: read again where it has come to."""


@dataclass(frozen=True, kw_only=True)
class About:
    """The deployment that is concluded about."""

    namespace: str
    deployment: str

    @property
    def named(self) -> str:
        """Return its name among those of all namespaces."""
        return f"{self.namespace}/{self.deployment}"

    def key(self, key: str) -> str:
        """Return where a mark of it is kept; raise DataError for one that is not its own."""
        own = [form.format(self.deployment) for form in KEYS]
        if key not in own:
            raise errors.DataError(
                f"the mark is {cloudevents.shown(key)}: wanted one of {', '.join(own)}"
            )
        return f"{self.namespace}/{key}"


def turn(store: archive.EventStore, owner: About) -> int:
    """Return the number of batches that were stored of the deployment."""
    return int(store.conclusions.mark(_turns(owner)) or 0)


def need_turn(store: archive.EventStore, owner: About, known: int) -> None:
    """Raise Overtaken unless `known` is the last turn."""
    now = turn(store, owner)
    if now != known:
        raise Overtaken(
            f"another monitor has concluded about {owner.named} since (turn {now}, you know {known})"
        )


def store_batch(store: archive.EventStore, owner: About, batch: object) -> int:
    """Store all steps or none, and return the new turn; raises DataError for what is no batch."""
    known, steps = _parsed(batch)
    with store.writing():
        need_turn(store, owner, known)
        for step, given in steps:
            try:
                STEPS[step](store, owner, given)
            except (KeyError, TypeError, ValueError) as error:
                raise errors.DataError(
                    f"the step {step} is {cloudevents.shown(given)} ({error!r}): wanted what a monitor of the "
                    "same version sends"
                ) from error
        store.conclusions.set_mark(_turns(owner), known + 1)
    return known + 1


def _parsed(batch: object) -> tuple[int, Sequence[tuple[str, Mapping[str, Any]]]]:
    match batch:
        case {"turn": int(known), "steps": list(steps)} if len(steps) <= MOST_STEPS:
            found = [
                (step, given)
                for step, given in filter(_is_pair, steps)
                if step in STEPS and isinstance(given, dict)
            ]
            if len(found) == len(steps):
                return known, found
    raise errors.DataError(
        f"the batch is {cloudevents.shown(batch)}: wanted a turn and at most {MOST_STEPS} steps, each one of "
        f"{', '.join(STEPS)} with an object"
    )


def _is_pair(step: object) -> bool:
    return isinstance(step, list) and len(step) == 2 and isinstance(step[0], str)


def _mark(store: archive.EventStore, owner: About, given: Mapping[str, Any]) -> None:
    store.conclusions.set_mark(owner.key(str(given["key"])), given["value"])


def _drift(store: archive.EventStore, owner: About, given: Mapping[str, Any]) -> None:
    store.conclusions.add_drift({**given, "deployment": owner.named})


def _open(store: archive.EventStore, owner: About, given: Mapping[str, Any]) -> None:
    store.conclusions.open_alert(**{**given, "deployment": owner.named})


def _resolve(store: archive.EventStore, owner: About, given: Mapping[str, Any]) -> None:
    store.conclusions.resolve_alert(**{**given, "deployment": owner.named})


STEPS: Mapping[str, Callable[[archive.EventStore, About, Mapping[str, Any]], None]] = {
    "mark": _mark,
    "drift": _drift,
    "open": _open,
    "resolve": _resolve,
}


def _turns(owner: About) -> str:
    return owner.key(f"turn/{owner.deployment}")
