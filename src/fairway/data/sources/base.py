"""What every source gives, and how it finds its files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway import errors

if TYPE_CHECKING:
    import pandas as pd


CELLS = 1 << 19  # read at a time: as words they take 60 bytes each


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
    the label of each row.
    """

    columns: tuple[str, ...]
    index: "pd.Index[Any]"
    some: Callable[[Sequence[str] | None, int], "Iterator[pd.DataFrame]"]


def sliced(frame: "pd.DataFrame") -> Batched:
    """Return rows that are held as a whole some at a time."""

    def some(names: Sequence[str] | None, rows: int) -> "Iterator[pd.DataFrame]":
        chosen = frame if names is None else frame[list(names)]
        for first in range(0, len(frame), rows):
            yield chosen.iloc[first : first + rows]

    return Batched(tuple(map(str, frame.columns)), frame.index, some)


def at_once(columns: int) -> int:
    """Return how many rows of so many columns are read at a time."""
    return max(CELLS // max(columns, 1), 1)


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
