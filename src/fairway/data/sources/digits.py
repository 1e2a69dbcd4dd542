"""Source `digits`: scikit-learn's handwritten digits, which ship with it."""

from typing import Literal

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
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.astype(np.float32).reshape(len(data.images), -1)
    frame = pd.DataFrame({"image": list(images), section.target: data.target.astype(str)})
    return base.Rows(
        frame, (1, 8, 8), "scikit-learn's digits (UCI, 1,797 handwritten digits of 8 by 8)", {}
    )
