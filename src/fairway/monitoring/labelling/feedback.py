"""Whether answers feed on themselves: what is shown gets the clicks and the labels that the next model
learns from (a degenerate feedback loop). Measures of what was shown and what came of it, in plain
numbers, with no verdict. Pure.

Diversity: the Hill number of order 1, exp(entropy), is how many items shown equally often would be as
diverse (Hill 1973; Jost 2006); Gini's coefficient is 0 where all items are shown alike and near 1
where one is shown always (of recommendations: Fleder and Hosanagar 2009). All of them grow with the
number of rows, so windows of the same number of rows are compared.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WINDOWS = 5  # of each side
LEAST_SHOWN = 50  # items of a window: fewer say nothing of a catalogue
POSITIONS = 10  # that are told one by one
LEAST_ANSWERS = 50  # requests with an answer, before it is told that it gets no labels
STARVED = 0.1  # of the share of labels that the best labelled answer gets


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """How diverse the items of windows are, on average."""

    coverage: float  # share of all items seen on either side that a window shows
    effective: float  # items that are as diverse, shown equally often
    gini: float  # of how often each of all items is shown


@dataclass(frozen=True, kw_only=True)
class ShownItems:
    """What was shown before and now, in windows of `rows` each."""

    items: int  # that either side showed
    rows: int
    before: tuple[Diversity, ...]
    now: tuple[Diversity, ...]

    @property
    def narrower(self) -> bool:
        """Say whether each window of now is more unequal than any before: of windows that could change
        places, one in 252 is so."""
        return min(one.gini for one in self.now) > max(one.gini for one in self.before)


@dataclass(frozen=True, kw_only=True)
class ClickedPlace:
    """One place of an order."""

    place: int  # 1 is the first
    shown: int
    clicked: int

    @property
    def rate(self) -> float:
        return self.clicked / self.shown


@dataclass(frozen=True, kw_only=True)
class AnswerLabels:
    """How many requests had this answer, and how many of those a label."""

    answer: str
    answered: int
    labelled: int

    @property
    def share(self) -> float:
        return self.labelled / self.answered


def compared(before: Sequence[Hashable], now: Sequence[Hashable]) -> ShownItems | None:
    """Return what the items in order say, None where there are too few of them."""
    rows = min(len(before), len(now)) // WINDOWS
    if rows < LEAST_SHOWN:
        return None
    catalogue = len({*before, *now})
    sides = [
        tuple(diversity(part, catalogue=catalogue) for part in _windows(side, rows=rows))
        for side in (before, now)
    ]
    return ShownItems(items=catalogue, rows=rows, before=sides[0], now=sides[1])


def _windows(items: Sequence[Hashable], *, rows: int) -> list[Sequence[Hashable]]:
    """Return as many windows as both sides have, evenly spread, in order."""
    starts = np.linspace(0, len(items) - rows, WINDOWS).astype(int)
    return [items[start : start + rows] for start in starts]


def diversity(items: Sequence[Hashable], *, catalogue: int) -> Diversity:
    """Return how diverse the items are, of a catalogue of so many."""
    counts = np.sort(np.array(list(Counter(items).values()), dtype=np.float64))
    shares = counts / counts.sum()
    places = np.arange(catalogue - len(counts), catalogue) + 1  # those never shown come first
    return Diversity(
        coverage=len(counts) / catalogue,
        effective=float(np.exp(-(shares * np.log(shares)).sum())),
        gini=float((2 * places - catalogue - 1) @ shares) / catalogue,
    )


def mean(windows: Sequence[Diversity]) -> Diversity:
    return Diversity(
        coverage=float(np.mean([one.coverage for one in windows])),
        effective=float(np.mean([one.effective for one in windows])),
        gini=float(np.mean([one.gini for one in windows])),
    )


def order(scores: Sequence[float]) -> list[int]:
    """Return the rows of a request, that of the highest score first, as they came where alike."""
    rows: list[int] = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").tolist()
    return rows


def positions(
    requests: Iterable[tuple[Sequence[float], Sequence[float | None]]],
) -> list[ClickedPlace]:
    """Return how often each place of an order was shown and clicked, from the scores and the labels of
    each request's rows; a label above 0 is a click, and rows without one do not count."""
    shown, clicked = Counter[int](), Counter[int]()
    for scores, clicks in requests:
        for place, row in enumerate(order(scores)[:POSITIONS], start=1):
            click = clicks[row]
            if click is not None:
                shown[place] += 1
                clicked[place] += click > 0
    return [
        ClickedPlace(place=place, shown=shown[place], clicked=clicked[place])
        for place in sorted(shown)
    ]


def labelled(requests: Iterable[tuple[str, bool]]) -> list[AnswerLabels]:
    """Return each answer with its labels, the commonest first, from what each request was answered and
    whether it has a label."""
    answered, known = Counter[str](), Counter[str]()
    for answer, has_label in requests:
        answered[answer] += 1
        known[answer] += has_label
    return [
        AnswerLabels(answer=answer, answered=number, labelled=known[answer])
        for answer, number in answered.most_common()
    ]


def remarks(shown: ShownItems | None, answers: Sequence[AnswerLabels]) -> list[str]:
    """Return what a person should look into, a sentence each."""
    found = []
    if shown is not None and shown.narrower:
        before, now = mean(shown.before).effective, mean(shown.now).effective
        found.append(
            f"fewer items get more of the places, in each window more than in any before: {before:.3g} -> "
            f"{now:.3g} as many as if shown alike. What is not shown gets no clicks, and the next model "
            "learns that nobody wants it: show some at random"
        )
    best = max((one.share for one in answers if one.answered >= LEAST_ANSWERS), default=0.0)
    found += [
        f"{one.answer} was answered {one.answered:,} times and got {one.labelled:,} labels ({one.share:.1%}; "
        f"another answer {best:.1%}): labels hang on the answer, and whether this one is right is not "
        "seen: label some (`fairway labels sample`) before you train on them"
        for one in answers
        if one.answered >= LEAST_ANSWERS and one.share < STARVED * best
    ]
    return found
