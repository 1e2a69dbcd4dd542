"""Whether the answers of the model in service lose more than they may, watched label by label.
Pure.

How often it is looked at changes nothing: the evidence is an e-detector's (see
`monitoring.drift.realised`), and `retraining.falseStartsPerMonth` is what chance may start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fairway.config import sections
from fairway.monitoring.drift import realised, watch

FIRST_DAYS = 1.0  # of the budget that a new revision begins with


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The evidence against one revision, and where the event store was read to."""

    revision: str
    store: str  # identity of the event store that `after` is a place in
    after: int
    at: float  # when it was looked at last
    values: tuple[float, ...] = (0.0,) * len(realised.STAKES)
    labels: int = 0  # that were taken in
    fired: bool = False  # until another revision is in service, or a run began

    @property
    def evidence(self) -> float:
        """Return the evidence that the mean loss is above its limit: at 1 a run may start."""
        return realised.FULL if self.fired else min(sum(self.values), realised.FULL)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def begun(*, revision: str, store: str, after: int, now: float) -> Trigger:
    """Return the trigger of a revision that is in service from now on."""
    return Trigger(
        revision=revision, store=store, after=after, at=now - FIRST_DAYS * watch.MONTH / 30
    )


def read(kept: Mapping[str, Any] | None, *, revision: str, store: str) -> Trigger | None:
    """Return what was kept of the same revision in the same store, None where it is another's."""
    if not kept or (kept.get("revision"), kept.get("store")) != (revision, store):
        return None
    return Trigger(**{**kept, "values": tuple(kept["values"])})


def step(
    trigger: Trigger,
    losses: Sequence[float],
    *,
    section: sections.Retraining,
    limit: float,
    after: int,
    now: float,
) -> Trigger:
    """Take in the losses of answers whose labels came since, each from 0 to 1."""
    if not losses:
        return replace(trigger, after=after)
    watching = realised.LossWatch(
        limit=limit,
        false_starts_per_month=section.false_starts_per_month,
        values=list(trigger.values),
    )
    spend = max(now - trigger.at, 0.0) / watch.MONTH
    fired = trigger.fired
    for loss in losses:
        fired = watching.look(loss, spend=spend, at=now) or fired
        spend = 0.0
    return replace(
        trigger,
        after=after,
        at=max(now, trigger.at),
        values=tuple(watching.values),
        labels=trigger.labels + len(losses),
        fired=fired,
    )


def rearmed(trigger: Trigger) -> Trigger:
    """Return the trigger after a run began: what was seen was acted on."""
    return replace(trigger, values=(0.0,) * len(realised.STAKES), fired=False)
