"""Is the split that was asked for in effect?

An HTTPRoute has no condition that says so; what the proxies count does. Pure.

Each scrape after the write is weighed by how much likelier its requests are under the new weight
than under the old one (binomial). Where the change came is not known, so all places are mixed, the
k-th with 1/(k(k+1)): of independent requests under the old weight the mixture exceeds 99 with
probability 1/99 at most, however often it is looked at (Ville).

Units stick to their arm, so a thousand requests of ten users are ten draws, not a thousand. A
scrape therefore weighs as 50 requests at most: its likelihood ratio is taken to the power 50/n,
which keeps the bound (Jensen). And the units of the hour may realise a share for ever that lies
nearer to the old weight: once a minute has passed, the split counts as in effect unless the newest
scrapes, as 50 requests together, say 99 to 1 that the old one is. A few busy units can still
confirm too early (30 of them, two times in five at worst); that harms no comparison of the arms'
own counts, and units less than a wait without end.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fairway.rollout.states import TOTAL

RATIO = math.log(99)
CAP = 50
NEWEST = 10  # scrapes
CERTAIN = 1e6  # for what a weight makes impossible; finite, so that it adds up
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Confirmation:
    """Whether the new weight is in effect, and why."""

    confirmed: bool
    reason: str


def split(
    increments: Sequence[tuple[int, int]], *, before: int, after: int, waited_seconds: float
) -> Confirmation:
    """Say whether the candidate's weight went from `before` to `after`.

    `increments` are the completed requests (candidate, stable) between scrapes after the write,
    oldest first.
    """
    if before == after:
        return Confirmation(True, f"the candidate's weight stays at {after} %")
    candidate, total = sum(c for c, _ in increments), sum(c + s for c, s in increments)
    seen = f"{candidate} of {total} requests since the change went to the candidate"
    scores = [_score(c, s, before=before, after=after) for c, s in increments]
    if _mixed(scores) >= RATIO:
        return Confirmation(True, f"weight {after} % is in effect: {seen}")
    newest = _score(
        sum(c for c, _ in increments[-NEWEST:]),
        sum(s for _, s in increments[-NEWEST:]),
        before=before,
        after=after,
    )
    if (
        waited_seconds >= PATIENCE_SECONDS
        and newest > -RATIO
        and (candidate or not after or not total)
    ):
        return Confirmation(
            True,
            (
                f"weight {after} % counts as in effect after {waited_seconds:.0f} s: {seen}, which does not speak for "
                "the "
                f"old {before} %"
            ),
        )
    return Confirmation(
        False, f"waiting for weight {after} % to take effect: {seen}, the old was {before} %"
    )


def _score(candidate: int, stable: int, *, before: int, after: int) -> float:
    """Return the log likelihood ratio of one scrape.

    What neither weight allows (both arms, between 0 % and 100 %) speaks against the new one.
    """
    new, old = (
        _log(candidate, weight) + _log(stable, TOTAL - weight) for weight in (after, before)
    )
    if math.isinf(new) or math.isinf(old):
        return -CERTAIN if math.isinf(new) else CERTAIN
    return (new - old) * min(1.0, CAP / max(candidate + stable, 1))


def _log(count: int, percent: int) -> float:
    if count == 0:
        return 0.0
    return count * math.log(percent / TOTAL) if percent > 0 else -math.inf


def _mixed(scores: Sequence[float]) -> float:
    """Return the log of the mixture over the scrapes with which the change may have come."""
    suffixes = list(itertools.accumulate(reversed(scores)))[::-1]
    terms = [total - math.log(k * (k + 1)) for k, total in enumerate(suffixes, start=1)]
    top = max(terms, default=-math.inf)
    return top + math.log(sum(math.exp(term - top) for term in terms)) if terms else top
