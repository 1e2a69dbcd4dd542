"""Texts that people write: their words and pairs of words, hashed into a fixed number of columns.

The hashing trick with signs (Weinberger et al. 2009, "Feature hashing for large scale multitask
learning"): no list of words is kept, a word that training never saw has its place too, and two
words that share a column cancel on average.
"""

import itertools
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.model import spelling, traits
from fairway.model.kinds import base, number, tensors
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

SIZE, LARGEST_SIZE = 256, 4096  # columns
GRAMS, LONGEST_GRAM = 2, 5  # words that are looked at together, at most
MOST_WORDS = 512  # of one text: a longer one costs no more
WATCHED = 8  # columns of words, and of pairs of words, that a detector tests
# columns of words, and of pairs of words, that are measured in each window: pairs are more, and
# two of them that share a column hide each other
MEASURED, PAIRS_MEASURED = 64, 128
WORD = re.compile(r"\w+")


class Text(base.Kind):
    """Columns are Python strings in an object array [n]; "" where a value is missing."""

    name, noun, dtype = "text", "a text", "string"
    datatype, datatypes, datatype_wanted = "BYTES", tensors.DATATYPES, "BYTES for a text"
    input = "numbers"
    plain = {str, type(None)}  # noqa: RUF012 - a constant, as of the other kinds
    absent, wanted = "", "a text"
    sliceable = False

    def cell(self, value: Any, feature: Feature) -> Any:
        try:
            return spelling.text(value)
        except ValueError as error:
            raise base.Unreadable(value, wanted=self.wanted) from error

    def column(self, cells: list[Any], feature: Feature) -> Array:
        column = np.empty(len(cells), dtype=object)
        column[:] = cells
        return column

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        return Feature(name=name, kind=self.name, dtype=self.dtype, nullable=nullable)

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        base.declared_range(entry, where=where)
        return {}

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        return ("shape", claimed["shape"], "[] of a text") if claimed.get("shape") else None

    def describe(self, feature: Feature) -> str:
        return "text"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        return [f"word {step} of a text" for step in steps.tolist()]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        return self.usual_steps(feature)

    def usual_steps(self, feature: Feature) -> list[Step]:
        return [{"op": "expand", "size": SIZE, "grams": GRAMS}]

    def expanded_width(self, step: Mapping[str, Any]) -> int:
        size, grams = step["size"], step["grams"]
        if (
            type(size) is not int
            or not 1 <= size <= LARGEST_SIZE
            or grams not in range(1, LONGEST_GRAM + 1)
        ):
            raise ValueError(f"size {size!r} or grams {grams!r} of a text")
        return size

    def expanded(self, values: Array, step: Mapping[str, Any]) -> Array:
        return hashed(values.tolist(), size=step["size"], lengths=range(1, step["grams"] + 1))

    def profile(self, values: Array) -> Json:
        counts = np.array([len(words(text)) for text in values.tolist() if text])
        return {
            "missing": 1 - len(counts) / max(1, len(values)),
            "words": float(counts.mean()) if len(counts) else 0.0,
            "longest": int(counts.max()) if len(counts) else 0,
        }

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        """Return tests of how many words texts have, of what is missing, and of which words and
        pairs of words they are."""
        before, after = reference.reshape(-1).tolist(), window.reshape(-1).tolist()
        counts = [
            np.array([len(words(text)) or math.nan for text in texts]) for texts in (before, after)
        ]
        yield from number.compared(f"{name} (words)", counts[0], counts[1])
        before, after = ([text for text in texts if text] for texts in (before, after))
        for length, called in ((1, "words"), (2, "pairs of words")):
            one, other = (
                hashed(texts, size=WATCHED, lengths=(length,)) for texts in (before, after)
            )
            for place in range(WATCHED):
                label = f"{name} (group {place} of {called})"
                yield from number.compared(label, one[:, place], other[:, place])

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        """Return traits of how many words a text has, which they are, and which of them follow one
        another; hashed."""
        yield from traits.numbers(f"{name} (words)", reference, read=_lengths)
        yield traits.blocks(name, reference, read=_words, called="words hashed to ")
        yield traits.blocks(name, reference, read=_pairs, called="pairs of words hashed to ")

    def outside(self, feature: Feature) -> base.Count | None:
        return _none

    def plain_list(self, values: Array) -> list[Any]:
        return [value or None for value in values.tolist()]

    def to_json(self, values: Array) -> Any:
        return values.tolist()


def _lengths(column: Array) -> NDArray[np.float64]:
    return np.array([len(words(text)) or math.nan for text in column.reshape(-1).tolist()])


def _words(column: Array) -> NDArray[np.float64]:
    return _measured(column, size=MEASURED, length=1)


def _pairs(column: Array) -> NDArray[np.float64]:
    return _measured(column, size=PAIRS_MEASURED, length=2)


def _measured(column: Array, *, size: int, length: int) -> NDArray[np.float64]:
    """Return the hashed groups of so many words of each text; of no text, NaN."""
    texts = column.reshape(-1).tolist()
    found = hashed(texts, size=size, lengths=(length,))
    found[[not text for text in texts]] = math.nan
    return found


def _none(values: Array) -> int:
    return 0  # a text has no range


def words(text: str) -> list[str]:
    """Return the words of a text, in small letters; of a long one the first."""
    return [found[0] for found in itertools.islice(WORD.finditer(text.lower()), MOST_WORDS)]


def hashed(texts: Sequence[str], *, size: int, lengths: Sequence[int]) -> NDArray[np.float64]:
    """Return a row for each text, of length 1: each group of words that follow one another, of
    these lengths, adds 1 or -1 in a column."""
    table = np.zeros((len(texts), size))
    for row, text in enumerate(texts):
        found = words(text)
        for length in lengths:
            for start in range(len(found) - length + 1):
                code = zlib.crc32(" ".join(found[start : start + length]).encode())
                table[row, code % size] += 1.0 if code >> 31 else -1.0
    norms = np.sqrt(np.einsum("ij,ij->i", table, table))
    norms[norms == 0] = 1.0
    table /= norms[:, None]  # in place: of many texts the table is large
    return table
