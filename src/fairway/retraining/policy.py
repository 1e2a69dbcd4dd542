"""Whether to train a challenger now. Pure: signals and the time in, a decision with its sentence out."""

from dataclasses import dataclass

from fairway.config import sections
from fairway.evaluation import bounds


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What is known of the model in service."""

    labelled: int  # newest labelled answers of the revision in service, `minLabels` of them at most
    wrong: int
    reference_accuracy: float | None  # on its test split, from its package
    drifted_windows: int = 0  # in a row, up to now
    running: str | None = None  # the run in progress
    last_run_at: float | None = None
    settled: bool = True  # no rollout is on its way


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to start, and why."""

    start: bool
    reason: str
    accuracy: float | None = None
    bound: float | None = None  # the accuracy is below this at the configured confidence


def decide(section: sections.Retraining, *, signals: Signals, now: float) -> Decision:
    """Return the decision: realised accuracy must have fallen by more than `maxAccuracyDrop`, beyond chance."""
    accuracy = 1 - signals.wrong / signals.labelled if signals.labelled else None
    bound = (
        bounds.upper_bound(signals.labelled - signals.wrong, signals.labelled, confidence=section.confidence)
        if signals.labelled
        else None
    )

    def wait(reason: str) -> Decision:
        return Decision(start=False, reason=reason, accuracy=accuracy, bound=bound)

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
    if section.on_drift and signals.drifted_windows > 0:
        return Decision(
            start=True,
            reason=f"{signals.drifted_windows} windows in a row have drifted (onDrift)",
            accuracy=accuracy,
            bound=bound,
        )
    if signals.reference_accuracy is None:
        return wait("the package in service records no test accuracy to compare with")
    if signals.labelled < section.min_labels or accuracy is None or bound is None:
        return wait(f"{signals.labelled} of {section.min_labels} labels are in (minLabels)")
    limit = signals.reference_accuracy - section.max_accuracy_drop
    seen = f"realised accuracy is {accuracy:.3f} on the newest {signals.labelled} labels"
    if bound >= limit:
        return wait(f"{seen}; not below {limit:.3f} beyond chance (it may be up to {bound:.3f})")
    beyond = f"below {limit:.3f} beyond chance (at most {bound:.3f} at {section.confidence:.0%})"
    return Decision(
        start=True,
        accuracy=accuracy,
        bound=bound,
        reason=f"{seen}, {signals.reference_accuracy:.3f} on the test split: {beyond}",
    )
