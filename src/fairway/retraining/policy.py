"""Whether to train a challenger now. Pure: signals and the time in, a decision with its sentence
out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairway.config import sections
from fairway.evaluation import bounds


@dataclass(frozen=True, kw_only=True)
class LossWords:
    """How a loss is spoken of."""

    what: str
    right: bool  # the share of right answers is shown, not the loss
    beyond: str
    to: str
    at: str

    def shown(self, loss: float) -> str:
        return f"{1 - loss if self.right else loss:.3f}"


CLASSES = LossWords(what="realised accuracy", right=True, beyond="below", to="up to", at="at most")
LOSSES = LossWords(
    what="realised mean loss", right=False, beyond="above", to="down to", at="at least"
)


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What is known of the model in service."""

    labelled: int  # newest labelled answers of the revision in service, `minLabels` of them at most
    lost: float  # the sum of their losses, each from 0 to 1: of classes, how many are wrong
    reference_loss: float | None  # mean loss on its test split, from its package
    task: str | None = None  # None: answers are classes, each right or wrong
    drifted: bool = False  # a drift ticket is open
    running: str | None = None  # the run in progress
    last_run_at: float | None = None
    settled: bool = True  # no rollout is on its way

    @property
    def loss(self) -> float | None:
        """Return the mean loss that was realised."""
        return self.lost / self.labelled if self.labelled else None

    def bound(self, *, confidence: float) -> float | None:
        """Return what the mean loss is at least; of classes the bound is exact."""
        if not self.labelled:
            return None
        if self.task is None:
            right = self.labelled - int(self.lost)
            return 1 - bounds.upper_bound(right, self.labelled, confidence=confidence)
        return 1 - bounds.of_mean(self.labelled - self.lost, self.labelled, confidence=confidence)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to start, and why."""

    start: bool
    reason: str
    loss: float | None = None
    bound: float | None = None  # the mean loss is above this at the configured confidence


def reference_loss(facts: Mapping[str, Any]) -> float | None:
    """Return the mean loss on the test split that a package states; an older one states its
    accuracy alone."""
    loss, accuracy = facts.get("testLoss"), facts.get("testAccuracy")
    if loss is None and accuracy is not None:
        return 1 - float(accuracy)
    return None if loss is None else float(loss)


def limit(section: sections.Retraining, *, reference: float) -> float:
    """Return the mean loss above which a challenger is trained."""
    return reference + section.max_loss_increase


def decide(section: sections.Retraining, *, signals: Signals, now: float) -> Decision:
    """Return the decision: realised loss must have risen by more than `maxLossIncrease`, beyond
    chance."""
    loss, bound = signals.loss, signals.bound(confidence=section.confidence)

    def wait(reason: str) -> Decision:
        return Decision(start=False, reason=reason, loss=loss, bound=bound)

    if not section.enabled:
        return wait("retraining is off (retraining.enabled)")
    if signals.running is not None:
        return wait(f"run {signals.running} is in progress")
    if not signals.settled:
        return wait("a rollout is on its way; its outcome comes first")
    cool_down = section.cool_down.total_seconds()
    if signals.last_run_at is not None and now - signals.last_run_at < cool_down:
        return wait(
            f"the last run began {now - signals.last_run_at:.0f} s ago; the next may begin after "
            f"{cool_down:.0f} s (coolDown)"
        )
    if section.on_drift and signals.drifted:
        return Decision(
            start=True,
            reason="a drift ticket is open (onDrift)",
            loss=loss,
            bound=bound,
        )
    if signals.reference_loss is None:
        measured = "accuracy" if signals.task is None else "loss"
        return wait(f"the package in service records no test {measured} to compare with")
    if signals.labelled < section.min_labels or loss is None or bound is None:
        return wait(f"{signals.labelled} of {section.min_labels} labels are in (minLabels)")
    most = limit(section, reference=signals.reference_loss)
    words = CLASSES if signals.task is None else LOSSES
    here, then, edge, sure = (
        words.shown(value) for value in (loss, signals.reference_loss, most, bound)
    )
    seen = f"{words.what} is {here} on the newest {signals.labelled} labels"
    if bound <= most:
        return wait(
            f"{seen}; not {words.beyond} {edge} beyond chance (it may be {words.to} {sure})"
        )
    why = f"{words.beyond} {edge} beyond chance ({words.at} {sure} at {section.confidence:.0%})"
    return Decision(
        start=True,
        loss=loss,
        bound=bound,
        reason=f"{seen}, {then} on the test split: {why}",
    )
