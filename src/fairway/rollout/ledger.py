"""What a rollout has learnt: its bets, the split of its units, and the lotteries of its labels and
outcomes. Pure.

Each guard of the strategy has bets against the candidate (harm) and, where it gates, a certificate.
Mode fused adds the candidate against the absolute limit, which is suspended while stable itself is
beyond it: an incident of both is no fault of the candidate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairway.rollout import legacy
from fairway.rollout.bets import NOBODY, Bet, BetKey, BetKind, Pair
from fairway.rollout.increments import Batch, Labelled, Valued
from fairway.rollout.statistics import betting
from fairway.rollout.statistics.betting import ArmCounts, Wealth

# A healthy split is called wrong once in a thousand steps, a lottery of labels once in a thousand
# rollouts.
SPLIT_ALPHA = 0.001


@dataclass(frozen=True)
class Lottery:
    """Whether a guard's labels or outcomes come in by lot."""

    wealth: Wealth  # evidence that they do not
    came: Pair = NOBODY  # units whose own are in


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the judge remembers."""

    bets: Mapping[BetKey, Bet]
    split: Wealth  # evidence that units are not divided as was asked
    met: Pair = NOBODY  # units that the split is judged by
    asked: float = 0.0  # the candidate's share of them that was asked for
    pairs: int = 0  # compared in shadow
    incomparable: int = 0  # and those that could not be
    # sliced guard -> values, each in its place
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # by the guard of labels or outcomes
    lotteries: Mapping[str, Lottery] = field(default_factory=dict)
    exposed: Pair = NOBODY  # units that met each arm in the rollout
    # answer -> units, and those with labels
    answered: Mapping[str, tuple[Pair, Pair]] = field(default_factory=dict)
    # labels and outcomes that wait for the other arm's
    waiting: Batch = field(default_factory=Batch)
    since: float = 0.0  # when it was opened
    at: float = 0.0  # when it last learnt something

    @property
    def crooked(self) -> bool:
        """Whether the split of units is not what was asked."""
        return self.split.log_e >= math.log(1 / SPLIT_ALPHA)

    @property
    def unfair(self) -> tuple[str, ...]:
        """The guards whose labels or outcomes are no lottery.

        For the rest of the rollout they neither roll back nor certify.
        """
        need = math.log(1 / SPLIT_ALPHA)
        return tuple(
            name for name, lottery in self.lotteries.items() if lottery.wealth.peak >= need
        )

    @property
    def heard(self) -> Mapping[BetKey, Wealth]:
        """The bets against the candidate.

        Those of unfair guards count as money that was never bet, where they have won.
        """
        unfair = self.unfair
        never = Wealth.start(at=self.since, restarts=False)
        return {
            key: never if key.guard in unfair and bet.harm.log_e > 0 else bet.harm
            for key, bet in self.bets.items()
        }

    @property
    def harm(self) -> float:
        """The logarithm of the evidence against the candidate, all bets together."""
        return betting.combine(self.heard)

    @property
    def suspended(self) -> tuple[str, ...]:
        """The guards whose absolute limit does not count now, because stable is beyond it too."""
        alarms = {key: bet.alarm for key, bet in self.bets.items() if bet.alarm is not None}
        return tuple(key.guard for key, alarm in alarms.items() if alarm.on(at=self.at))

    def own(self, guard: str) -> Bet:
        """Return the guard's own bet: the comparison that it is about."""
        return self.bets[BetKey(guard)]

    def slice_of(self, key: BetKey) -> str | None:
        """Return the value of the slice that a bet is about; None where no slice has taken the
        place."""
        known = self.slices.get(key.guard, ())
        return known[key.place] if key.place is not None and key.place < len(known) else None

    def to_json(self) -> dict[str, Any]:
        return {
            "bets": [
                {"guard": key.guard, "kind": str(key.kind), "place": key.place, **bet.to_json()}
                for key, bet in self.bets.items()
            ],
            "split": self.split.to_json(),
            "met": list(self.met),
            "asked": self.asked,
            "pairs": self.pairs,
            "incomparable": self.incomparable,
            "slices": {name: list(values) for name, values in self.slices.items()},
            "lotteries": {
                name: {"wealth": lottery.wealth.to_json(), "came": list(lottery.came)}
                for name, lottery in self.lotteries.items()
            },
            "exposed": list(self.exposed),
            "answered": {
                answer: [list(pair) for pair in pairs] for answer, pairs in self.answered.items()
            },
            "waiting": _waiting_to_json(self.waiting),
            "since": self.since,
            "at": self.at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Ledger":
        data = legacy.renewed(data)
        return cls(
            bets={
                BetKey(bet["guard"], BetKind(bet["kind"]), bet["place"]): Bet.from_json(bet)
                for bet in data["bets"]
            },
            split=Wealth.from_json(data["split"]),
            met=Pair(*data["met"]),
            asked=data["asked"],
            pairs=data["pairs"],
            incomparable=data.get("incomparable", 0),
            slices={name: tuple(values) for name, values in data["slices"].items()},
            lotteries={
                name: Lottery(Wealth.from_json(lottery["wealth"]), Pair(*lottery["came"]))
                for name, lottery in data["lotteries"].items()
            },
            exposed=Pair(*data["exposed"]),
            answered={
                answer: (Pair(*served), Pair(*labelled))
                for answer, (served, labelled) in data["answered"].items()
            },
            waiting=_waiting_from_json(data["waiting"]),
            since=data["since"],
            at=data["at"],
        )


def _waiting_to_json(waiting: Batch) -> dict[str, Any]:
    return {
        "labelled": [
            [one.weight, one.slice, *one.candidate, *one.stable, one.losses]
            for one in waiting.labelled
        ],
        "valued": [
            [one.weight, one.name, list(one.candidate), list(one.stable)] for one in waiting.valued
        ],
    }


def _waiting_from_json(data: Mapping[str, Any]) -> Batch:
    labelled = tuple(
        Labelled(
            weight=weight,
            slice=of,
            candidate=ArmCounts(n, bad),
            stable=ArmCounts(m, stable_bad),
            losses=bool(losses and losses[0]),  # of an earlier version there is none
        )
        for weight, of, n, bad, m, stable_bad, *losses in data.get("labelled", ())
    )
    valued = tuple(
        Valued(weight=weight, name=name, candidate=tuple(mine), stable=tuple(theirs))
        for weight, name, mine, theirs in data.get("valued", ())
    )
    return Batch(labelled=labelled, valued=valued)
