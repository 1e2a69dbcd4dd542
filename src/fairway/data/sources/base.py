"""What every source gives, and how it finds its files."""

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
