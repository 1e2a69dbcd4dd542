"""What every source gives, and how it finds its files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway import errors

if TYPE_CHECKING:
    import pandas as pd


CELLS = 1 << 19  # read at a time: as words they take 60 bytes each
CHARACTERS = 1 << 24  # read at a time: 4 bytes each at most, held a few times over
STRETCH = 256  # rows: so many of the longest that follow one another say how long rows are


@dataclass(frozen=True)
class Rows:
    """Rows as they came: a frame with the target in it, the shape of an image column, and where
    they are from."""

    frame: "pd.DataFrame"
    image_shape: tuple[int, ...] | None
    origin: str
    digests: dict[str, str]  # of the files that were read, by name


@dataclass(frozen=True)
class Batched:
    """The rows of a file some at a time, each value as `read` gives it.

    `some` gives these columns (None: all), so many rows at a time, the last ones fewer; `index` has
    the label of each row, `row_size` how many characters a row has where rows are longest.
    """

    columns: tuple[str, ...]
    index: "pd.Index[Any]"
    some: Callable[[Sequence[str] | None, int], "Iterator[pd.DataFrame]"]
    row_size: float = 0.0

    def at_once(self, columns: int | None = None) -> int:
        """Return how many rows are read at a time where so many columns are (None: all)."""
        asked = len(self.columns) if columns is None else columns
        return at_once(asked, row_size=self.row_size)


def sliced(frame: "pd.DataFrame") -> Batched:
    """Return rows that are held as a whole some at a time."""

    def some(names: Sequence[str] | None, rows: int) -> "Iterator[pd.DataFrame]":
        chosen = frame if names is None else frame[list(names)]
        for first in range(0, len(frame), rows):
            yield chosen.iloc[first : first + rows]

    return Batched(tuple(map(str, frame.columns)), frame.index, some)


def at_once(columns: int, *, row_size: float) -> int:
    """Return how many rows of so many columns and characters are read at a time."""
    return max(min(CELLS // max(columns, 1), int(CHARACTERS / max(row_size, 1.0))), 1)


def file(path: Path | str, *, what: str) -> Path:
    """Return the path of a file that is there; raises UsageError otherwise. `what` is its key in
    the configuration."""
    if isinstance(path, str):
        raise errors.UsageError(
            f"{what} is {path}: wanted a file of this machine, as it is brought"
        )
    if not path.is_file():
        raise errors.UsageError(
            f"{what} is {path}: there is no such file; wanted the path of the data"
        )
    return path
