"""Whether the answers of the model in service lose more than they may, watched label by label.
Pure.

How often it is looked at changes nothing: the evidence is an e-detector's (see
`monitoring.drift.realised`), and `retraining.falseStartsPerMonth` is what chance may start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fairway.config import sections
from fairway.monitoring.drift import realised

Late = tuple[float, float]  # when an answer was given (seconds), and its loss from 0 to 1


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The evidence against one revision, and where the event store was read to."""

    revision: str
    store: str  # identity of the event store that `after` is a place in
    after: int
    watch: Mapping[str, Any] | None = None  # as `realised.LossWatch` dumps it; None before a label
    evidence: float = 0.0  # that the mean loss is above its limit: at 1 a run may start
    labels: int = 0  # that were taken in
    first_at: float | None = None  # when the first answer was given whose label was taken in
    fired: bool = False  # until another revision is in service, or a run began

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def begun(*, revision: str, store: str, after: int) -> Trigger:
    """Return the trigger of a revision that is in service from now on."""
    return Trigger(revision=revision, store=store, after=after)


def read(kept: Mapping[str, Any] | None, *, revision: str, store: str) -> Trigger | None:
    """Return what was kept of the same revision in the same store, None where it is another's, or
    of a version before blocks were bet on."""
    if not kept or (kept.get("revision"), kept.get("store")) != (revision, store):
        return None
    return Trigger(**kept) if "watch" in kept else None


def step(
    trigger: Trigger,
    late: Sequence[Late],
    *,
    section: sections.Retraining,
    limit: float,
    after: int,
) -> Trigger:
    """Take in the losses of answers whose labels came since, in the order in which they were
    given."""
    if not late:
        return replace(trigger, after=after)
    watching = _watching(trigger, section=section, limit=limit)
    fired = trigger.fired
    for at, loss in sorted(late, key=lambda one: one[0]):  # rows of a request stay as they were
        fired = watching.look(loss, at=at) or fired
    return replace(
        trigger,
        after=after,
        watch=watching.dump(),
        evidence=realised.FULL if fired else min(watching.evidence, realised.FULL),
        labels=trigger.labels + len(late),
        first_at=min(late)[0] if trigger.first_at is None else trigger.first_at,
        fired=fired,
    )


def rearmed(trigger: Trigger) -> Trigger:
    """Return the trigger after a run began: what was seen was acted on."""
    if trigger.watch is None:
        return replace(trigger, evidence=0.0, fired=False)
    watching = realised.LossWatch.restored(trigger.watch)
    watching.rearm()
    return replace(trigger, watch=watching.dump(), evidence=0.0, fired=False)


def _watching(
    trigger: Trigger, *, section: sections.Retraining, limit: float
) -> realised.LossWatch:
    asked: dict[str, Any] = {
        "limit": limit,
        "false_starts_per_month": section.false_starts_per_month,
        "cycle_seconds": section.cycle.total_seconds(),
    }
    # cycles of another length are counted otherwise
    if trigger.watch is None or trigger.watch["cycle_seconds"] != asked["cycle_seconds"]:
        return realised.LossWatch(**asked)
    return realised.LossWatch.restored({**trigger.watch, **asked})
