"""What the ledger keeps of each bet against the candidate, and under which key. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from fairway.rollout.statistics.betting import Alarm, ArmCounts, Floats, Wealth
from fairway.rollout.statistics.intervals import Ratio

NOTHING = ArmCounts(0, 0)
SLICES = 8  # of one guard: the status that holds their bets is small


class BetKind(StrEnum):
    """Which of a guard's bets it is."""

    OWN = "own"  # the comparison that the guard is about
    SHADOW = "shadow"  # failures pair by pair, among copies
    LIMIT = "limit"  # mode fused: the candidate against the absolute limit
    SLICE = "slice"  # the comparison within one slice


class BetKey(NamedTuple):
    """The name of a bet."""

    guard: str
    kind: BetKind = BetKind.OWN
    place: int | None = None  # of the slice, among those that the guard has met

    def __str__(self) -> str:
        """Return the name as verdicts and pages write it; no code reads it back."""
        match self.kind:
            case BetKind.OWN:
                return self.guard
            case BetKind.SLICE:
                return f"{self.guard}/{self.place}"
        return f"{self.guard}/{self.kind}"


class Pair(NamedTuple):
    """Two numbers of units."""

    candidate: int
    stable: int

    def plus(self, candidate: int, stable: int) -> "Pair":
        return Pair(self.candidate + candidate, self.stable + stable)


NOBODY = Pair(0, 0)


@dataclass(frozen=True)
class News:
    """What a batch says to one bet."""

    key: BetKey
    candidate: ArmCounts
    stable: ArmCounts
    harm: Floats  # factors against the candidate
    certificate: Floats | None = None  # factors for it
    compared: bool = False  # whether both arms were counted at the same time under one split
    # what was compared, where that is not what the limit is about
    at_risk: tuple[ArmCounts, ArmCounts] | None = None
    # of units' first: the probability with which their arm was drawn the candidate
    share: float | None = None
    baseline: Floats | None = None  # factors of stable against the limit


@dataclass(frozen=True, kw_only=True)
class Bet:
    """One bet against the candidate: its wealth, and what its sentences quote."""

    harm: Wealth
    certificate: Wealth | None = None  # where the guard gates a stage
    candidate: ArmCounts = NOTHING  # of outcomes: their number and their loss
    stable: ArmCounts = NOTHING
    ratio: Ratio | None = None  # relative risk, for its interval
    alarm: Alarm | None = None  # whether stable itself is beyond the limit
    first: float | None = None  # when it began to learn: the look before its first news
    # JSON that the guard's own module writes and reads
    memory: Mapping[str, Any] = field(default_factory=dict)

    def learn(self, news: News, *, since: float, at: float) -> "Bet":
        """Return the bet after one piece of news that came between `since` and `at`."""
        alarm = self.alarm
        if news.baseline is not None:
            alarm = (alarm or Alarm()).learn(news.baseline, at=at)
        harm = self.harm
        if alarm is None or not alarm.on(at=at):
            harm = harm.bet(news.harm)
        certificate = self.certificate
        if news.certificate is not None and certificate is not None:
            certificate = certificate.bet(news.certificate)
        ratio = self.ratio
        if news.compared:
            arms = news.at_risk or (news.candidate, news.stable)
            ratio = (ratio or Ratio()).add(*arms, share=news.share)
        return replace(
            self,
            harm=harm,
            certificate=certificate,
            candidate=self.candidate.plus(news.candidate),
            stable=self.stable.plus(news.stable),
            ratio=ratio,
            alarm=alarm,
            first=since if self.first is None and news.candidate.n else self.first,
        )

    def due(self, *, at: float) -> "Bet":
        """Return the bet with a restart point, where a minute has passed since the last."""
        return self.restart(at=at) if self.harm.due(at=at) else self

    def restart(self, *, at: float) -> "Bet":
        """Return the bet with a restart point, where money is left for one."""
        return replace(self, harm=self.harm.restart(at=at)) if self.harm.cash > 0 else self

    def to_json(self) -> dict[str, Any]:
        optional = {"certificate": self.certificate, "ratio": self.ratio, "alarm": self.alarm}
        return {
            "harm": self.harm.to_json(),
            "candidate": list(self.candidate),
            "stable": list(self.stable),
            "first": self.first,
            "memory": dict(self.memory),
            **{name: value.to_json() for name, value in optional.items() if value is not None},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Bet":
        return cls(
            harm=Wealth.from_json(data["harm"]),
            certificate=Wealth.from_json(data["certificate"]) if "certificate" in data else None,
            candidate=ArmCounts(*data["candidate"]),
            stable=ArmCounts(*data["stable"]),
            ratio=Ratio.from_json(data["ratio"]) if "ratio" in data else None,
            alarm=Alarm.from_json(data["alarm"]) if "alarm" in data else None,
            first=data["first"],
            memory=data["memory"],
        )
