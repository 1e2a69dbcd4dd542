"""Guards of type quality: how wrong units' answers were, by labels that come late.

Of classes that is the share of a unit's rows that were wrong, of other tasks the mean loss of its
rows, from 0 to 1. As a whole, or in every slice of a feature.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fairway.config import sections
from fairway.rollout.bets import SLICES, BetKey, BetKind, News
from fairway.rollout.guards import base
from fairway.rollout.increments import Batch, Labelled
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics import hypotheses
from fairway.rollout.statistics.betting import ArmCounts


class QualityGuard(sections.Guard):
    """Wrong answers, by labels that come later: how wrong is the task's to say."""

    type: Literal["quality"]
    max_loss_increase: base.LossIncrease = 0.02
    """How much worse than stable's the share of wrong answers (of other tasks than classes the mean
    loss, from 0 to 1), or the mean outcome (of its range), may be.

    0 asks for a better one.
    """
    slice_by: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """A feature whose every value (the first eight) must hold by itself.

    Of requests with logged inputs; the budget of errors is one.
    """

    RULES = (
        sections.NOT_SHADOW,
        sections.Rule(
            broken=lambda guard: guard.slice_by is not None and guard.stage != "watch",
            only="slice_by",
            sentence="guard {name} has sliceBy: only quality that watches can be judged by slices, "
            "for a slice may never have labels enough",
            cel="!has(self.sliceBy) || (self.type == 'quality' && (!has(self.gates) || self.gates == 'watch'))",
            message="sliceBy is for quality that watches: a slice may never have labels enough for a certificate",
        ),
    )

    @property
    def sliced_by(self) -> str | None:
        return self.slice_by


@dataclass(frozen=True)
class QualityCase(base.Case[QualityGuard]):
    """A guard of labels."""

    late = True
    by_answer = True
    rows_alone = True

    @property
    def keys(self) -> tuple[BetKey, ...]:
        if self.slice_by is None:
            return super().keys
        return tuple(BetKey(self.name, BetKind.SLICE, place) for place in range(SLICES))

    def news(self, batch: Batch, ledger: Ledger) -> Iterator[News]:
        """Return what the labels say.

        An answer stands there as a whole beside its slices: a guard of the whole must not count it
        again in those.
        """
        places = self._places(ledger)
        for labels in batch.labelled:
            if labels.slice in places:
                yield self._differ(places[labels.slice], labels)

    def _places(self, ledger: Ledger) -> dict[str | None, BetKey]:
        """Return the bet of each slice that was known before, or of the whole."""
        if self.slice_by is None:
            return {None: BetKey(self.name)}
        known = ledger.slices.get(self.name, ())
        return {value: BetKey(self.name, BetKind.SLICE, place) for place, value in enumerate(known)}

    def _differ(self, key: BetKey, labels: Labelled) -> News:
        margin = self.guard.max_loss_increase
        harm, safe = (
            hypotheses.factors_difference(labels.candidate, labels.stable, margin=margin, harm=side)
            for side in (True, False)
        )
        return News(key, labels.candidate, labels.stable, harm, certificate=safe, compared=True)

    def remembered(
        self, batch: Batch, ledger: Ledger
    ) -> Iterable[tuple[BetKey, Mapping[str, Any]]]:
        places = self._places(ledger)
        met = [labels for labels in batch.labelled if labels.slice in places]
        return [(places[one.slice], base.LOSSES) for one in met if one.losses]

    def arrivals(self, batch: Batch) -> Iterable[tuple[int, int, float]]:
        return [
            (one.candidate.n, one.stable.n, one.weight)
            for one in batch.labelled
            if one.slice is None
        ]

    def praise(self, ledger: Ledger) -> str:
        mine, theirs = ledger.own(self.name).candidate, ledger.own(self.name).stable
        if base.is_lossy(ledger.own(self.name)):
            return (
                f"{self.name} at most {self.guard.max_loss_increase:g} worse than stable's "
                f"(mean loss {base.mean(mine)} units, {base.mean(theirs)} of stable)"
            )
        return (
            f"{self.name} at most {self.guard.max_loss_increase:.1%} worse than stable's "
            f"({mine.bad:g} of {mine.n} wrong, {theirs.bad:g} of {theirs.n} of stable)"
        )

    def accuse(self, key: BetKey, ledger: Ledger) -> str:
        bet, most = ledger.bets[key], self.guard.max_loss_increase
        lossy = base.is_lossy(bet)
        margin = f" (margin {most:g})" if lossy else f" (margin {most:.1%})"
        if self.slice_by is not None:
            margin += f" where {self.slice_by} is {ledger.slice_of(key)!r}"
        if lossy:
            return (
                f"{self.name}: mean loss {base.mean(bet.candidate)} units with labels of the candidate, "
                f"{base.mean(bet.stable)} of stable{margin}{base.at_least(bet)}"
            )
        return base.compared(
            bet, name=self.name, place="units with labels", what="were wrong", margin=margin
        )

    def described(self, key: BetKey, ledger: Ledger, *, intervals_too: bool) -> dict[str, Any]:
        where = (
            {"slice": {self.slice_by: ledger.slice_of(key)}} if self.slice_by is not None else {}
        )
        return where | super().described(key, ledger, intervals_too=intervals_too)

    def _by_answer(self, ledger: Ledger) -> dict[str, Any]:
        return {
            "answers": {
                answer: {
                    arm: {"units": units, "of": of}
                    for arm, units, of in zip(base.ARMS, labelled, served, strict=True)
                }
                for answer, (served, labelled) in ledger.answered.items()
            }
        }

    @property
    def untold(self) -> str | None:
        return self.slice_by

    def replayed(self, candidate: ArmCounts, stable: ArmCounts) -> Batch:
        units = candidate.n + stable.n
        if units == 0:
            return Batch()
        return Batch(
            labelled=(Labelled(weight=candidate.n / units, candidate=candidate, stable=stable),)
        )


SECTION, CASE = QualityGuard, QualityCase
