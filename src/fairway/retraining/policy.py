"""Whether to train a challenger now. Pure: signals and the time in, a decision with its sentence
out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fairway.config import sections
from fairway.evaluation import paired
from fairway.monitoring import receiver
from fairway.monitoring.drift import realised

DAY = 86_400.0
GRACE = 0.2  # of `refresh`, until a model without a challenger is stale
STALE = "StaleModel"  # the ticket
MOST_HELD_OUT = 3, 10  # of the labelled rows: a challenger must have some to learn from
LEAST_LABELLED = -(-paired.LEAST_ROWS * MOST_HELD_OUT[1] // MOST_HELD_OUT[0])  # rows of a run
DOUBLED_MOST = 30  # times: more are past any bound, and no number any more


@dataclass(frozen=True, kw_only=True)
class LossWords:
    """How a loss is spoken of."""

    what: str
    right: bool  # the share of right answers is shown, not the loss
    beyond: str

    def shown(self, loss: float) -> str:
        return f"{1 - loss if self.right else loss:.3f}"


CLASSES = LossWords(what="realised accuracy", right=True, beyond="below")
LOSSES = LossWords(what="realised mean loss", right=False, beyond="above")


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What is known of the model in service."""

    labelled: int  # newest labelled answers of the revision in service, `minLabels` of them at most
    lost: float  # the sum of their losses, each from 0 to 1: of classes, how many are wrong
    reference_loss: float | None  # mean loss on its test split, from its package
    task: str | None = None  # None: answers are classes, each right or wrong
    evidence: float = 0.0  # that the loss is above its limit (retraining.trigger); it is at 1
    bound: float | None = None  # of the loss on the test split: it may be as high by chance
    drifted: bool = False  # a drift ticket is open
    running: str | None = None  # the run in progress
    last_run_at: float | None = None
    fruitless: int = 0  # newest runs, one after the other, of which no challenger was deployed
    first_label_at: float | None = None  # of the revision in service
    settled: bool = True  # no rollout is on its way

    @property
    def loss(self) -> float | None:
        """Return the mean loss that was realised."""
        return self.lost / self.labelled if self.labelled else None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to start, and why."""

    start: bool
    reason: str
    loss: float | None = None


def reference_loss(facts: Mapping[str, Any]) -> float | None:
    """Return the mean loss on the test split that a package states; an older one states its
    accuracy alone."""
    loss, accuracy = facts.get("testLoss"), facts.get("testAccuracy")
    if loss is None and accuracy is not None:
        return 1 - float(accuracy)
    return None if loss is None else float(loss)


def reference_bound(facts: Mapping[str, Any]) -> float | None:
    """Return how high the mean loss may be though the test split showed less, by its rows' number;
    the figure itself of an older package."""
    bound = facts.get("testLossBound")
    return reference_loss(facts) if bound is None else float(bound)


def limit(section: sections.Retraining, *, bound: float) -> float:
    """Return the mean loss above which a challenger is trained."""
    return realised.limit(bound, allowed=section.max_loss_increase)


def decide(section: sections.Retraining, *, signals: Signals, now: float) -> Decision:
    """Return the decision: realised loss must have risen by more than `maxLossIncrease`, beyond
    chance."""
    loss = signals.loss

    def wait(reason: str) -> Decision:
        return Decision(start=False, reason=reason, loss=loss)

    if not section.enabled:
        return wait("retraining is off (retraining.enabled)")
    if signals.running is not None:
        return wait(f"run {signals.running} is in progress")
    if not signals.settled:
        return wait("a rollout is on its way; its outcome comes first")
    cool_down = rest(section, fruitless=signals.fruitless)
    if signals.last_run_at is not None and now - signals.last_run_at < cool_down:
        return wait(
            f"the last run began at {_when(signals.last_run_at)}; the next may begin at "
            f"{_when(signals.last_run_at + cool_down)} (coolDown{_doubled(signals.fruitless)})"
        )
    if section.on_drift and signals.drifted:
        return Decision(
            start=True,
            reason="a drift ticket is open (onDrift)",
            loss=loss,
        )
    if signals.labelled < section.min_labels or loss is None:
        return wait(f"{signals.labelled} of {section.min_labels} labels are in (minLabels)")
    due = _refresh(section, signals, now=now)
    if due is not None and signals.evidence < 1:
        return Decision(start=True, reason=due, loss=loss)
    if signals.reference_loss is None or signals.bound is None:
        measured = "accuracy" if signals.task is None else "loss"
        return wait(f"the package in service records no test {measured} to compare with")
    words = CLASSES if signals.task is None else LOSSES
    here, then, edge = (
        words.shown(value)
        for value in (loss, signals.reference_loss, limit(section, bound=signals.bound))
    )
    seen = f"{words.what} is {here} on the newest {signals.labelled} labels"
    if signals.evidence < 1:
        return wait(
            f"{seen}; not {words.beyond} {edge} beyond chance (evidence {signals.evidence:.2g} of 1)"
        )
    return Decision(
        start=True,
        loss=loss,
        reason=f"{seen}, {then} on the test split: {words.beyond} {edge} beyond chance "
        f"(at most {section.false_starts_per_month:g} such runs a month by chance)",
    )


@dataclass(frozen=True)
class AskedByAlert:
    """An alert that asked for a run."""

    alert: str
    at: float


def answered(
    decision: Decision,
    *,
    section: sections.Retraining,
    signals: Signals,
    asked: AskedByAlert | None,
    now: float,
) -> Decision:
    """Return the decision with an alert that asks for a run: what holds a run back holds it back too."""
    cool_down = rest(section, fruitless=signals.fruitless)
    cooling = signals.last_run_at is not None and now - signals.last_run_at < cool_down
    waits = signals.running is not None or not signals.settled or not section.enabled or cooling
    if asked is None or decision.start or waits or now - asked.at > receiver.ASKED_SECONDS:
        return decision
    return Decision(start=True, reason=f"alert {asked.alert} fires", loss=decision.loss)


def supplied(decision: Decision, *, labelled: int | None) -> Decision:
    """Return the decision where a run has the labels that it needs; what asked for one waits for them.

    `labelled` is how many labelled rows a run could learn from, None where that is not known.
    """
    if labelled is None or labelled >= LEAST_LABELLED or not decision.start:
        return decision
    reason = (
        f"{decision.reason}; but {labelled} of the {LEAST_LABELLED} labels that a run needs are in"
    )
    return Decision(start=False, reason=reason, loss=decision.loss)


def vetoed(decision: Decision, *, broken: str | None) -> Decision:
    """Return the decision where the data is sound; nothing is started where it is `broken`."""
    if broken is None or not decision.start:
        return decision
    reason = f"{decision.reason}; but the data is broken, and a model that learns from it learns the fault: {broken}"
    return Decision(start=False, reason=reason, loss=decision.loss)


def stale(
    section: sections.Retraining, *, since: float, last_run_at: float | None, now: float
) -> str | None:
    """Return why the model in service since then is too old, None where it is not: it is older than
    `mostAge`, or no challenger was trained for `refresh` and its grace, though one should be."""
    served = (now - since) / DAY
    if section.most_age is not None and now - since > section.most_age.total_seconds():
        return (
            f"the model has been in service for {served:.0f} days, longer than "
            f"{section.most_age.total_seconds() / DAY:g} (retraining.mostAge)"
        )
    if not section.enabled or section.refresh is None:
        return None
    tried = max(since, since if last_run_at is None else last_run_at)
    if now - tried <= section.refresh.total_seconds() * (1 + GRACE):
        return None
    return (
        f"the model has been in service for {served:.0f} days, and no challenger was trained for "
        f"{(now - tried) / DAY:.0f}: wanted one each {section.refresh.total_seconds() / DAY:g} "
        "(retraining.refresh)"
    )


def rest(section: sections.Retraining, *, fruitless: int) -> float:
    """Return the seconds between two runs: the cool-down, doubled for each of the newest runs whose
    challenger was not deployed."""
    least = section.cool_down.total_seconds()
    most = section.most_cool_down.total_seconds()
    return min(least * 2.0 ** min(fruitless, DOUBLED_MOST), most)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _doubled(fruitless: int) -> str:
    return f", doubled for each of {fruitless} runs that deployed nothing" if fruitless else ""


def _refresh(section: sections.Retraining, signals: Signals, *, now: float) -> str | None:
    """Return why a challenger is due though no loss has risen, None where it is not."""
    since = signals.last_run_at if signals.last_run_at is not None else signals.first_label_at
    if section.refresh is None or since is None:
        return None
    if now - since < section.refresh.total_seconds():
        return None
    what = "the last run began" if signals.last_run_at is not None else "the first label came"
    return (
        f"{what} {(now - since) / DAY:.0f} days ago (refresh): a challenger is trained on the rows "
        "since, and deployed where it is better on the newest"
    )
