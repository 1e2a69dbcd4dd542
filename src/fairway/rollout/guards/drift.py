"""Guards of type drift.

How much the shares of answers differ between the arms, which see the same users at the same time.
They watch only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fairway.config import sections
from fairway.rollout.bets import NOBODY, Bet, BetKey, News, Pair
from fairway.rollout.guards import base
from fairway.rollout.increments import Batch, Exposed
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts, Floats


class DriftGuard(sections.Guard):
    """Shares of answers."""

    type: Literal["drift"]
    max_shift: sections.Fraction = 0.05
    """How much the share of units that get an answer may differ between the arms; 0 for not at all.

    Both see the same users at the same time.
    """

    RULES = (
        sections.NOT_SHADOW,
        sections.Rule(
            broken=lambda guard: guard.stage != "watch",
            sentence="guard {name} of type drift can only watch: it has no certificate, and can roll back all the same",
            cel="self.type != 'drift' || !has(self.gates) || self.gates == 'watch'",
            message="a guard of type drift can only watch: it has no certificate, and can roll back all the same",
        ),
    )


@dataclass(frozen=True)
class DriftCase(base.Case[DriftGuard]):
    """A guard of the shares of answers.

    Its memory: `answers`, the first few that were met, and the units of both arms that got each.
    """

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        bet = ledger.own(self.name)
        for exposed in batch.exposed:
            candidate, stable = (ArmCounts(units, 0) for units in exposed.new)
            yield News(BetKey(self.name), candidate, stable, self._shifted(exposed, bet))

    def _shifted(self, exposed: Exposed, bet: Bet) -> Floats:
        """Return the factors of the answers that were known before the batch: otherwise the test
        would not be valid.

        Without a margin the split that was realised is enough, and all the answers are one test;
        the rest of them is a bin of its own.
        """
        known, of = _answers(bet), exposed.new
        batch = [exposed.answers.get(answer, NOBODY) for answer in known]
        mine, theirs = [pair[0] for pair in batch], [pair[1] for pair in batch]
        if self.guard.max_shift > 0:
            return hypotheses.factors_answers(mine, theirs, of=of, margin=self.guard.max_shift)
        before = (
            _bins([pair.candidate for pair in known.values()], of=bet.candidate.n),
            _bins([pair.stable for pair in known.values()], of=bet.stable.n),
        )
        return hypotheses.factors_shift(
            _bins(mine, of=of[0]), _bins(theirs, of=of[1]), before=before
        )

    def remembered(
        self, batch: Batch, ledger: Ledger
    ) -> Iterable[tuple[BetKey, Mapping[str, Any]]]:
        counts = _answers(ledger.own(self.name))
        for exposed in batch.exposed:
            counts = _counted(exposed, counts)
        return [
            (
                BetKey(self.name),
                {"answers": {answer: list(pair) for answer, pair in counts.items()}},
            )
        ]

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        bet = ledger.bets[key]
        n, m = bet.candidate.n, bet.stable.n
        answer, (mine, theirs) = _furthest(bet)
        return (
            f"{self.name}: {answer!r} is the answer to {mine} of {n} units of the candidate ({mine / max(1, n):.1%}) "
            f"and to {theirs} of {m} of stable ({theirs / max(1, m):.1%}), "
            f"allowed is a difference of {self.guard.max_shift:.1%}"
        )

    def described(self, key: BetKey, ledger: Ledger, *, intervals_too: bool) -> dict[str, Any]:
        return {
            "answers": {
                answer: pair._asdict() for answer, pair in _answers(ledger.bets[key]).items()
            }
        }

    @property
    def untold(self) -> str | None:
        return "answers"


def _answers(bet: Bet) -> dict[str, Pair]:
    return {answer: Pair(*pair) for answer, pair in bet.memory.get("answers", {}).items()}


def _counted(exposed: Exposed, known: Mapping[str, Pair]) -> dict[str, Pair]:
    """Return the counts with the batch; the most frequent new answers take the places that are
    left."""
    new = [answer for answer in exposed.answers if answer not in known]
    new.sort(key=lambda answer: -sum(exposed.answers[answer]))
    names = [*known, *new[: hypotheses.BINS - len(known)]]
    return {
        name: known.get(name, NOBODY).plus(*exposed.answers.get(name, NOBODY)) for name in names
    }


def _bins(counts: Sequence[int], *, of: int) -> Floats:
    return np.array([*counts, of - sum(counts)], dtype=np.float64)


def _furthest(bet: Bet) -> tuple[str, Pair]:
    """Return the answer whose share differs most between the arms, and its counts."""
    n, m = max(1, bet.candidate.n), max(1, bet.stable.n)
    return max(
        _answers(bet).items(), key=lambda item: abs(item[1].candidate / n - item[1].stable / m)
    )


SECTION, CASE = DriftGuard, DriftCase
