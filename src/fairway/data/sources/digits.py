"""Source `digits`: scikit-learn's handwritten digits, which ship with it."""

import importlib.util
from pathlib import Path
from typing import Literal

from fairway import errors
from fairway.config import sections
from fairway.data.sources import base


class DigitsData(sections.Data):
    """1,797 handwritten digits of 8 by 8 pixels (UCI), in the column `image`."""

    source: Literal["digits"] = "digits"
    """Ships with scikit-learn: nothing is fetched."""


SECTION = DigitsData


def read(section: DigitsData) -> base.Rows:
    import numpy as np
    import pandas as pd

    table = np.loadtxt(_file(), delimiter=",", dtype=np.float32)
    images, digits = table[:, :-1], table[:, -1].astype(int)
    frame = pd.DataFrame({"image": list(images), section.target: digits.astype(str)})
    return base.Rows(
        frame, (1, 8, 8), "scikit-learn's digits (UCI, 1,797 handwritten digits of 8 by 8)", {}
    )


def _file() -> Path:
    """Return the file that scikit-learn's own loader reads: importing that loader takes a second and more."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise errors.UsageError(
            'data.source digits ships with scikit-learn, which is not installed: `pip install "fairway[train]"`'
        )
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
