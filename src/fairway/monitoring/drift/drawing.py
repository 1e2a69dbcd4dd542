"""The account of a comparison as a page: one file, with how each moved column looked before and
after."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from fairway.evaluation import pages
from fairway.evaluation.pages import ACCENT, MUTED, PALE
from fairway.model.kinds import category, moment, text
from fairway.monitoring import aligned as alignment
from fairway.monitoring.drift import account

TEMPLATE = Path(__file__).with_name("drift.html.j2")
MOST_DRAWN = 24  # columns, the surest first
BINS = 30
EDGE = 0.005  # of the values of both together, on either side, that are not drawn
WORDS = 10  # the commonest, drawn one by one
FEW = 12  # different numbers are drawn one by one
LONG_WORD = 18  # characters
MISSING, OTHERS = "(missing)", "(others)"


def render(record: Mapping[str, Any], aligned: alignment.Aligned) -> str:
    """Return the page as HTML, with the shares of the classes where they are told."""
    moved = [column for column in record["columns"] if column["name"] in record["moved"]]
    plots = []
    for column in moved[:MOST_DRAWN]:
        drawn = _drawn(column, aligned)
        if drawn is not None:
            plots.append((column["name"], *drawn))
    labels = record["labels"]
    if labels and labels["classes"]:
        plots.append(
            (
                "Classes in service",
                f"{account.classes(labels)}; the line holds the share in 95 of 100 cases.",
                pages.drawn(_classes, labels["classes"]),
            )
        )
    return pages.render(
        TEMPLATE,
        record=record,
        moved=moved,
        plots=plots,
        verdict=account.verdict(record),
        power=account.power(record),
        notes=[*account.notes(record), *record["remarks"]],
        kinds={column["parts"][0]["kind"] for column in moved},
        account=account,
    )


def _drawn(column: Mapping[str, Any], aligned: alignment.Aligned) -> tuple[str, str] | None:
    """Return the caption and the drawing of one column, None of what has no picture of its own."""
    sides = [account.values_of(side, column["name"]) for side in (aligned.before, aligned.after)]
    before, after = sides
    if before is None or after is None:
        return None
    kind = next((one.kind for one in aligned.schema.features if one.name == column["name"]), "")
    if kind == "text":
        return _of_texts(before.tolist(), after.tolist())
    if before.dtype.kind in "OSU":
        words = [category.shortened(side.tolist()).tolist() for side in (before, after)]
        return _of_words(words[0], words[1])
    numbers = before.astype(np.float64), after.astype(np.float64)
    if kind == "datetime":
        return _of_numbers(numbers[0] / moment.DAY, numbers[1] / moment.DAY, days=True)
    return _of_numbers(*numbers)


def _of_numbers(
    before: NDArray[np.float64], after: NDArray[np.float64], *, days: bool = False
) -> tuple[str, str] | None:
    known = [side[np.isfinite(side)] for side in (before, after)]
    together = np.concatenate(known)
    if not len(together):
        return None
    lacking = [1 - len(one) / len(side) for one, side in zip(known, (before, after), strict=True)]
    caption = f"missing {lacking[0]:.1%} before, {lacking[1]:.1%} after" if max(lacking) else ""
    if len(np.unique(together)) <= FEW and not days:
        named = [[f"{value:g}" for value in one.tolist()] for one in known]
        return caption, _of_words(named[0], named[1], ordered=True)[1]
    edges = _edges(together)
    heights = [
        np.histogram(one, edges)[0] / max(len(side), 1)
        for one, side in zip(known, (before, after), strict=True)
    ]
    beyond = [
        float(((one < edges[0]) | (one > edges[-1])).sum()) / len(side)
        for one, side in zip(known, (before, after), strict=True)
    ]
    parts = [caption, f"further out than is drawn {beyond[0]:.1%} before, {beyond[1]:.1%} after"]
    return "; ".join(filter(None, parts)), pages.drawn(_histograms, edges, *heights, days)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the bins; of whole numbers each bin has as many."""
    low, high = np.quantile(values, [EDGE, 1 - EDGE], method="nearest")
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    if high - low > BINS / 2 and (values == np.round(values)).all():
        step = np.ceil((high - low + 1) / BINS)
        whole: NDArray[np.float64] = np.arange(low, high + step + 1, step) - 0.5
        return whole
    even: NDArray[np.float64] = np.linspace(low, high, BINS + 1)
    return even


def _of_words(before: list[str], after: list[str], *, ordered: bool = False) -> tuple[str, str]:
    counts = [Counter(side) for side in (before, after)]
    shares = [
        {word: times / max(len(side), 1) for word, times in counted.items()}
        for counted, side in zip(counts, (before, after), strict=True)
    ]
    names = sorted(
        {*shares[0], *shares[1]},
        key=lambda word: -max(shares[0].get(word, 0), shares[1].get(word, 0)),
    )
    # what moved furthest is drawn, whatever its share
    furthest = sorted(names, key=lambda w: -abs(shares[0].get(w, 0) - shares[1].get(w, 0)))[:3]
    chosen = list(dict.fromkeys([*names[: WORDS - len(furthest)], *furthest]))
    if ordered and len(names) <= FEW:
        chosen = sorted(names, key=float)
    rows = [(_named(word), *(side.get(word, 0.0) for side in shares)) for word in chosen]
    if len(names) > len(chosen):
        rows.append((OTHERS, *(1 - sum(side.get(w, 0.0) for w in chosen) for side in shares)))
    fresh = sum(shares[1][word] for word in shares[1] if word not in shares[0])
    caption = f"words that were not there before: {fresh:.1%} of the rows" if fresh else ""
    return caption, pages.drawn(_bars, rows)


def _of_texts(before: list[str], after: list[str]) -> tuple[str, str]:
    """Draw the words whose share of the texts moved furthest."""
    shares = []
    for side in (before, after):
        counted = Counter(word for text_ in side for word in set(text.words(text_)))
        shares.append({word: times / max(len(side), 1) for word, times in counted.items()})
    furthest = sorted(
        {*shares[0], *shares[1]},
        key=lambda word: (-abs(shares[0].get(word, 0) - shares[1].get(word, 0)), word),
    )
    rows = [(_named(word), *(side.get(word, 0.0) for side in shares)) for word in furthest[:WORDS]]
    return "the words that moved furthest", pages.drawn(_bars, rows)


def _named(word: str) -> str:
    if not word:
        return MISSING
    plain = "".join(letter if letter.isprintable() else "?" for letter in word)
    return plain if len(plain) <= LONG_WORD else f"{plain[: LONG_WORD - 1]}…"


def _histograms(
    axes: Axes,
    edges: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    days: bool,
) -> None:
    if days:
        axes.xaxis_date()
        axes.tick_params(axis="x", labelrotation=30)
    axes.stairs(before, edges, color=MUTED, fill=True, alpha=0.35, label="before")
    axes.stairs(after, edges, color=ACCENT, linewidth=1.5, label="after")
    axes.set(ylabel="share of the rows")
    axes.legend(frameon=False, fontsize=8)


def _bars(axes: Axes, rows: list[tuple[str, float, float]]) -> None:
    places = np.arange(len(rows))
    axes.barh(places - 0.2, [row[1] for row in rows], 0.4, color=MUTED, alpha=0.5, label="before")
    axes.barh(places + 0.2, [row[2] for row in rows], 0.4, color=ACCENT, label="after")
    axes.set_yticks(places, [row[0] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="share of the rows")
    axes.legend(frameon=False, fontsize=8)


def _classes(axes: Axes, classes: list[Mapping[str, Any]]) -> None:
    shown = sorted(classes, key=lambda one: -max(one["before"], one["after"]))[:FEW]
    places = np.arange(len(shown))
    axes.hlines(places, [one["low"] for one in shown], [one["high"] for one in shown], color=ACCENT)
    axes.scatter([one["after"] for one in shown], places, color=ACCENT, label="after")
    axes.scatter(
        [one["before"] for one in shown], places, color=PALE, edgecolor=MUTED, label="before"
    )
    axes.set_yticks(places, [_named(one["name"]) for one in shown])
    axes.invert_yaxis()
    axes.set(xlabel="share of the rows")
    axes.legend(frameon=False, fontsize=8)
