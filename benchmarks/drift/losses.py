"""Labels that come late, as they hang together in service, and what the watch of their losses makes
of them: runs begun where the loss is tolerated, and how long a rise and a sudden fall take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairway.config import sections
from fairway.monitoring.drift import realised

Floats = NDArray[np.float64]
Late = tuple[float, float]  # when an answer was given (seconds), and its loss
Draw = Callable[[float, Floats, np.random.Generator], Floats]

LIMIT = 0.2
DAYS, LABELS = 30, 8_000  # of one history
RATES = (0.18, 0.2, 0.25)  # a tolerated rise of .03, the limit itself, and beyond
CLUSTER = 50  # labels that share their luck
BEFORE, AFTER = 5_600, 4_000  # labels before a fall (three weeks), and after it at most
FALLS = (0.5, 0.99, 1.0)
USUAL = {0.18: "weeks at .18", 0.0: "weeks without a wrong answer"}


def independent(rate: float, at: Floats, rng: np.random.Generator) -> Floats:
    return _lost(np.full(len(at), rate), rng)


def by_day(rate: float, at: Floats, rng: np.random.Generator) -> Floats:
    return _lost(rate * (1 + 0.8 * np.sin(2 * np.pi * (at / realised.DAY - 0.25))), rng)


def clusters_of_luck(rate: float, at: Floats, rng: np.random.Generator) -> Floats:
    luck = np.repeat(rng.uniform(0, 2, len(at) // CLUSTER + 1), CLUSTER)[: len(at)]
    return _lost(rate * luck, rng)


def hours_of_luck(rate: float, at: Floats, rng: np.random.Generator) -> Floats:
    """Return losses at rates whose logarithm is an AR(1) that forgets within fifty labels."""
    from scipy import signal

    kept = np.exp(-1 / CLUSTER)
    noise = rng.normal(size=len(at)) * np.sqrt(1 - kept**2)
    luck = 0.8 * signal.lfilter([1.0], [1.0, -kept], noise)
    return _lost(rate * np.exp(luck - 0.32), rng)


def shared(each: int) -> Draw:
    """Return losses of which so many that follow one another are of one outcome."""

    def draw(rate: float, at: Floats, rng: np.random.Generator) -> Floats:
        outcomes = rng.random(len(at) // each + 1) < rate
        return np.repeat(outcomes, each)[: len(at)].astype(float)

    return draw


def _lost(rates: Floats, rng: np.random.Generator) -> Floats:
    return (rng.random(len(rates)) < rates).astype(float)


INDEPENDENT, BY_DAY = "independent", "80 % higher at noon"
LUCK, WANDERS = "each fifty share their luck", "luck that wanders"
SHARED = {each: f"each {each} share one outcome" for each in (10, 50, 200, 500)}
KINDS: dict[str, Draw] = {
    INDEPENDENT: independent,
    BY_DAY: by_day,
    LUCK: clusters_of_luck,
    WANDERS: hours_of_luck,
    **{name: shared(each) for each, name in SHARED.items()},
}


def moments(labels: int, *, first: int = 0) -> Floats:
    """Return when labels of one history are given, from label `first` on."""
    found: Floats = (first + np.arange(labels)) / LABELS * DAYS * realised.DAY
    return found


def drawn(kind: str, rate: float, *, seed: Sequence[int], labels: int = LABELS) -> list[Late]:
    """Return one history of a kind, whose losses are `rate` on the mean."""
    rng = np.random.default_rng([*seed, list(KINDS).index(kind)])
    at = moments(labels)
    return list(zip(at.tolist(), KINDS[kind](rate, at, rng).tolist(), strict=True))


def fallen(before: float, after: float, *, seed: Sequence[int]) -> list[Late]:
    """Return a history of labels that hang on nothing, whose mean loss is another after `BEFORE`
    labels and some."""
    rng = np.random.default_rng([*seed, 50])
    first = BEFORE + int(rng.integers(LABELS // DAYS))
    rates = np.concatenate([np.full(first, before), np.full(AFTER, after)])
    return list(zip(moments(len(rates)).tolist(), _lost(rates, rng).tolist(), strict=True))


def told(late: list[Late], *, limit: float = LIMIT) -> int | None:
    """Return the place of the label by which a run begins, None where none does."""
    section = sections.Retraining()
    watching = realised.LossWatch(
        limit=limit, false_starts_per_month=section.false_starts_per_month
    )
    looked = (watching.look(loss, at=at) for at, loss in late)
    return next((place for place, reached in enumerate(looked) if reached), None)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Runs that began in histories of one kind: after how many days or labels, infinite where none
    did."""

    after: Floats

    @property
    def runs(self) -> int:
        return int(np.isfinite(self.after).sum())

    @property
    def median(self) -> float:
        return float(np.median(self.after))


def watched(job: tuple[str, float, int, int]) -> Begun:
    """Return the days after which runs began; the job is kind, rate, seed and histories."""
    kind, rate, seed, histories = job
    found = [told(drawn(kind, rate, seed=[seed, one])) for one in range(histories)]
    return Begun(after=np.array([_after(place) for place in found]) / LABELS * DAYS)


def felled(job: tuple[float, float, int, int]) -> Begun:
    """Return the labels from a fall until a run began; the job is the mean losses before and after,
    seed and histories. A run that began before the fall has no delay."""
    before, after, seed, histories = job
    delays = []
    for one in range(histories):
        late = fallen(before, after, seed=[seed, one])
        delay = _after(told(late)) - (len(late) - AFTER)
        delays.append(delay if delay > 0 else np.inf)
    return Begun(after=np.array(delays))


def _after(place: int | None) -> float:
    return np.inf if place is None else place + 1.0
