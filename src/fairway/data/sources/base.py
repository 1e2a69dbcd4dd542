"""What every source gives, and how it finds its files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fairway import errors

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Rows as they came: a frame with the target in it, the shape of an image column, and where
    they are from."""

    frame: "pd.DataFrame"
    image_shape: tuple[int, ...] | None
    origin: str
    digests: dict[str, str]  # of the files that were read, by name


@dataclass(frozen=True)
class RowsInMemory:
    """The rows of a source that reads all of them at once."""

    frame: "pd.DataFrame"

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return list(map(str, self.frame.columns))

    @property
    def rows(self) -> int:
        return len(self.frame)

    def batches(self, *, rows: int, names: Sequence[str] | None = None) -> Iterator["pd.DataFrame"]:
        """Give the rows, so many at a time, with the columns that are named: all by default."""
        chosen = self.frame if names is None else self.frame[list(names)]
        for first in range(0, self.rows, rows):
            yield chosen.iloc[first : first + rows]


def file(path: Path, *, what: str) -> Path:
    """Return the path of a file that is there; raises UsageError otherwise. `what` is its key in
    the configuration."""
    if not path.is_file():
        raise errors.UsageError(
            f"{what} is {path}: there is no such file; wanted the path of the data"
        )
    return path
