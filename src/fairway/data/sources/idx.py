"""Source `idx`: images and labels in the format of MNIST (big-endian magic number, sizes, bytes)."""

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fairway import errors, files
from fairway.config import sections
from fairway.data.sources import base

if TYPE_CHECKING:
    import numpy as np

IMAGES, LABELS = 2051, 2049  # the magic numbers


class IdxData(sections.Data):
    """Grey images and their labels in two IDX files, plain or gzipped; the images are the column
    `image`."""

    source: Literal["idx"] = "idx"
    """MNIST's format."""
    path: sections.Location
    """The images file."""
    labels: sections.Location
    """The labels file."""


SECTION = IdxData


def read(section: IdxData) -> base.Rows:
    import numpy as np
    import pandas as pd

    paths = base.file(section.path, what="data.path"), base.file(section.labels, what="data.labels")
    images, labels = _array(paths[0], magic=IMAGES), _array(paths[1], magic=LABELS)
    if len(images) != len(labels):
        raise errors.DataError(
            f"{paths[0].name} has {len(images)} images and {paths[1].name} {len(labels)} labels: wanted as many of each"
        )
    flat = images.reshape(len(images), -1).astype(np.float32)
    frame = pd.DataFrame({"image": list(flat), section.target: labels.astype(str)})
    digests = {path.name: files.digest_file(path) for path in paths}
    return base.Rows(frame, (1, *images.shape[1:]), paths[0].name, digests)


def _array(path: Path, *, magic: int) -> "np.ndarray[Any, Any]":
    import numpy as np

    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise errors.DataError(f"{path} cannot be unpacked: {error}") from error
    dimensions = 3 if magic == IMAGES else 1
    start = 4 + 4 * dimensions
    if len(raw) < start or struct.unpack(">I", raw[:4])[0] != magic:
        kind = "images" if dimensions == 3 else "labels"
        raise errors.DataError(f"{path} is no IDX file of {kind}: wanted the magic number {magic}")
    sizes = struct.unpack(f">{dimensions}I", raw[4:start])
    values = np.frombuffer(raw, dtype=np.uint8, offset=start)
    if values.size != int(np.prod(sizes)):
        raise errors.DataError(f"{path} says {sizes} and holds {values.size} bytes: it is cut off")
    return values.reshape(sizes)
