"""What a type of guard has to say: what it counts, its bets, its certificate, its sentences and its
expected time.

`Case` is one guard of one rollout. It answers for a guard that compares both arms and gates nothing
special; each type of guard is a subclass in a module of its own, which overrides what is its own.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from pydantic import Field

from fairway.config import sections
from fairway.rollout import traffic
from fairway.rollout.bets import Bet, BetKey, News
from fairway.rollout.increments import Batch
from fairway.rollout.ledger import SPLIT_ALPHA, Ledger
from fairway.rollout.prospect import Expectation, Prospect
from fairway.rollout.statistics import intervals
from fairway.rollout.statistics.betting import ArmCounts

INTERVAL_ALPHA = 0.05  # of the intervals that are reported
ARMS = ("candidate", "stable")
LossIncrease = Annotated[float, Field(ge=0, le=0.99)]


class Scraped(NamedTuple):
    """What two scrapes of the gateway's counters tell a guard, each (candidate, stable)."""

    bad: tuple[int, int]
    observed: tuple[int, int] | None = None  # requests that the guard could see, where they differ
    # what a limit is held against, where it is something else
    held: tuple[ArmCounts, ArmCounts] | None = None


G = TypeVar("G", bound=sections.Guard, covariant=True)


class Visit(Protocol):
    """One request, as the event log has it."""

    @property
    def status(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Question(NamedTuple):
    """What a guard that counts units asks of each request."""

    what: str  # guards that ask the same share the units that were met
    bad: Callable[[Visit], bool]


@dataclass(frozen=True)
class Case(Generic[G]):
    """One guard of one rollout."""

    guard: G
    strategy: sections.Strategy
    offline: float | None = None  # disagreement of the two models that evaluation measured

    spends: ClassVar[bool] = False
    """Whether its bad requests are those that `badRequests` allows so many of."""
    late: ClassVar[bool] = False
    """Whether its labels or outcomes come late, and must come by lot."""
    by_answer: ClassVar[bool] = False
    """Whether it tells of units by their answer how many labels are in."""
    joins_outcomes: ClassVar[bool] = False
    """Whether it reads outcomes of served requests, a join that costs."""
    rows_alone: ClassVar[bool] = False
    """Whether a table of counts can have the rows of one guard of this type only."""

    @property
    def name(self) -> str:
        return self.guard.name

    @property
    def stage(self) -> str:
        return self.guard.stage

    # -- what it counts and bets ---------------------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[BetKey, ...]:
        """The bets against the candidate."""
        return (BetKey(self.name),)

    @property
    def slice_by(self) -> str | None:
        """The feature whose values are judged each by itself."""
        return self.guard.sliced_by

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        """Return what a batch says, bet by bet.

        `ledger` is what was known before: no bet may hang on what the batch brings.
        """
        raise NotImplementedError

    def remembered(
        self, batch: Batch, ledger: Ledger
    ) -> Iterable[tuple[BetKey, Mapping[str, Any]]]:
        """Return the memories after the batch, of the bets that have one."""
        return ()

    def arrivals(self, batch: Batch) -> Iterable[tuple[int, int, float]]:
        """Return how many units' labels or outcomes came.

        Each row has those of the candidate, those of stable, and the weight at which they had been
        served.
        """
        return ()

    @property
    def asked(self) -> Question | None:
        """What it asks of each request by arrival; None where it does not count units' requests."""
        return None

    def scraped(
        self, candidate: traffic.ArmSample, stable: traffic.ArmSample, *, alone: bool
    ) -> Scraped | None:
        """Return what increments of the gateway's counters say; `alone`: while nothing else can be
        read."""
        return None

    # -- certificate ---------------------------------------------------------------------------------------------------

    def certified(self, ledger: Ledger) -> bool:
        """Say whether the certificate holds now: what was earned before a worse time is not kept."""
        return self._certificate(ledger) >= math.log(1 / self.strategy.false_promotion)

    def growth(self, ledger: Ledger, *, seconds: float) -> float:
        """Return what the certificate's logarithm grows by in a second: as it has grown in the
        seconds so far."""
        return self._certificate(ledger) / seconds

    def lacks(self, ledger: Ledger) -> float:
        """Return what the certificate's logarithm lacks."""
        return math.log(1 / self.strategy.false_promotion) - self._certificate(ledger)

    def _certificate(self, ledger: Ledger) -> float:
        certificate = ledger.own(self.name).certificate
        if certificate is None:
            raise ValueError(f"guard {self.name} gates {self.stage}: it has no certificate")
        return certificate.log_e

    # -- sentences -----------------------------------------------------------------------------------------------------

    def missing(self, ledger: Ledger) -> str:
        """Say what the certificate lacks."""
        e = math.exp(min(50.0, self._certificate(ledger)))
        return f"{self.name} (e = {e:.2g} of {1 / self.strategy.false_promotion:.0f}, {self.seen(ledger)})"

    def seen(self, ledger: Ledger) -> str:
        """Say how much was seen of the candidate."""
        bet = ledger.own(self.name)
        return f"mean loss {mean(bet.candidate)}" if is_lossy(bet) else share(bet.candidate)

    def praise(self, ledger: Ledger) -> str:
        """Say what is certified."""
        raise NotImplementedError

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        """Say what the bet has won by."""
        raise NotImplementedError

    def unfair(self, ledger: Ledger) -> str:
        """Say that more or fewer labels or outcomes of one arm came in than were served."""
        lottery = ledger.lotteries[self.name]
        mine, theirs = lottery.came
        return (
            f"{self.name} is not judged in this rollout: its labels or outcomes are no lottery, "
            f"{mine} of {mine + theirs} are of the candidate, which is not the share that it served "
            f"(e = {power(lottery.wealth.peak)} against {1 / SPLIT_ALPHA:.0f}); take them by lot over all requests"
        )

    @property
    def tolerance(self) -> str | None:
        """What of the candidate is no harm yet, as the guarantee says it; None where any harm
        beyond chance is one."""
        return None

    @property
    def unmeasured(self) -> str | None:
        """What is healthy where evaluation did not compare the two models, as the guarantee says
        it."""
        return None

    # -- evidence ------------------------------------------------------------------------------------------------------

    def described(self, key: BetKey, ledger: Ledger, *, intervals_too: bool) -> dict[str, Any]:
        """Return what the evidence of a bet has beside its counts."""
        return {"intervals": rates(ledger.bets[key])} if intervals_too else {}

    def came_in(self, ledger: Ledger) -> dict[str, Any]:
        """Return of both arms how many labels or outcomes are in, of so many units that were
        served."""
        lottery = ledger.lotteries[self.name]
        numbers = zip(ARMS, lottery.came, ledger.exposed, strict=True)
        arms: dict[str, Any] = {
            arm: {"units": came, "of": served or None} for arm, came, served in numbers
        }
        return {**arms, **self._by_answer(ledger), "logE": round(lottery.wealth.log_e, 4) + 0.0}

    def _by_answer(self, ledger: Ledger) -> dict[str, Any]:
        return {}

    # -- before a rollout, and after -----------------------------------------------------------------------------------

    def expect(
        self, foretold: Prospect, *, usual: float, effect: float | None
    ) -> Expectation | None:
        """Return the expected times, at the `usual` rate of a healthy revision; None where they
        cannot be foretold.

        Raises ConfigError where a certificate is not to be expected within the stage's budget.
        """
        return None

    @property
    def untold(self) -> str | None:
        """What the guard is about that counts of requests do not tell: then it cannot be replayed
        from a table."""
        return None

    def replayed(self, candidate: ArmCounts, stable: ArmCounts) -> Batch:
        """Return a row of a table of counts as what platforms hand in."""
        raise NotImplementedError


def share(counts: ArmCounts) -> str:
    return f"{counts.bad} of {counts.n}"


LOSSES = {
    "losses": True
}  # the memory of a bet on losses that lie between 0 and 1: they add up to no number of bad ones


def is_lossy(bet: Bet) -> bool:
    """Say whether the bet has met such losses."""
    return bool(bet.memory.get("losses"))


def mean(counts: ArmCounts) -> str:
    return f"{counts.bad / max(1, counts.n):.3g} over {counts.n}"


def power(log_e: float) -> str:
    return f"{math.exp(log_e):.0f}" if log_e < 14 else f"1e{log_e / math.log(10):.0f}"


def rates(bet: Bet) -> dict[str, Any]:
    """Return the always-valid 95 % intervals of both arms' rates and of their ratio."""
    arms = zip(ARMS, (bet.candidate, bet.stable), strict=True)
    found = {arm: intervals.rate(counts, alpha=INTERVAL_ALPHA) for arm, counts in arms}
    if bet.ratio is not None:
        found["ratio"] = bet.ratio.interval(alpha=INTERVAL_ALPHA)
    return {name: [rounded(edge) for edge in interval] for name, interval in found.items()}


def rounded(edge: float | None) -> float | None:
    return None if edge is None else float(f"{edge:.4g}")


def at_least(bet: Bet) -> str:
    """Say how many times stable's rate the candidate's is at the least, where that is more than
    one."""
    low = bet.ratio.interval(alpha=INTERVAL_ALPHA).low if bet.ratio is not None else None
    return (
        f", {low:.1f} times or more (95 %, at any look)" if low is not None and low >= 1.05 else ""
    )


def compared(
    bet: Bet, *, name: str, place: str, what: str, objective: str = "", margin: str = ""
) -> str:
    """Say how many of both arms were bad: `place` names what is counted, `what` what became of it."""
    mine, theirs = bet.candidate, bet.stable
    return (
        f"{name}: {mine.bad:.4g} of {mine.n} {place} of the candidate {what} ({mine.bad / max(1, mine.n):.1%})"
        f"{objective}, {theirs.bad:.4g} of {theirs.n} of stable ({theirs.bad / max(1, theirs.n):.1%})"
        f"{margin}{at_least(bet)}"
    )
