"""What tasks of nominal answers share: classes, or labels of which a row may have several."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.model.kinds import number
from fairway.model.kinds.base import Compared
from fairway.model.tasks.base import Array, Json, percent

SHOWN = 6  # names with their shares in a sentence
# share of rows that one feature alone predicts; real single features stay far below
SUSPICIOUS = 0.99
LEAST = 1e-12  # of a probability, for its logarithm


def described(shares: Array, names: Sequence[str], *, noun: str) -> str:
    """Return how many names there are, and the most frequent with their shares."""
    ordered = np.argsort(-shares, kind="stable")
    shown = ", ".join(f"{names[place]} {percent(shares[place])}" for place in ordered[:SHOWN])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return f"{len(ordered)} {noun}: {shown}{more}"


def told(bins: NDArray[np.int64], codes: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the share of the rows whose code the best rule tells that looks at the bins only, and
    the share of the most frequent code; None where the rule tells no suspicious number of them."""
    table = np.zeros((int(bins.max()) + 1, int(codes.max()) + 1))
    np.add.at(table, (bins, codes), 1)
    share, usual = (
        float(table.max(axis=1).sum() / len(codes)),
        float(np.bincount(codes).max() / len(codes)),
    )
    return (share, usual) if share > max(SUSPICIOUS, usual + 0.05) else None


def scored(right: Array, asked: Array, said: Array, *, names: Sequence[str]) -> list[Json]:
    """Return rows, precision, recall and F1 of each name, from how often it was rightly said, true,
    and said; what has no rows to be measured on is 0."""
    precision, recall = right / np.maximum(said, 1), right / np.maximum(asked, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return [
        {
            "class": name,
            "rows": int(asked[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
        }
        for i, name in enumerate(names)
    ]


def probabilities(
    reference: Array, window: Array, *, names: Sequence[str], places: range
) -> Iterator[Compared]:
    """Return the columns of probabilities at these places as a drift test takes them."""
    for place in places:
        name: Any = names[place] if place < len(names) else place
        before, after = reference[:, place], window[:, place]
        yield from number.compared(f"probability[{name}]", before, after, kind="probability")


def entropy(probability: Array) -> Array:
    """Return what each probability adds to an entropy, in natural units."""
    known = np.asarray(probability, dtype=np.float64).clip(LEAST, 1)
    found: Array = -known * np.log(known)
    return found
