"""Source `function`: the user's own code."""

from typing import Literal

from fairway import errors, usercode
from fairway.config import sections
from fairway.data.sources import base


class FunctionData(sections.Data):
    """Rows that a function of yours returns."""

    source: Literal["function"] = "function"
    """Your own code, for what no other source reads."""
    function: str
    """`package.module:name`, called with this section; returns a pandas DataFrame with the target
    in it."""
    path: sections.Location | None = None
    """A file for the function to read, taken from this file's folder."""


SECTION = FunctionData


def read(section: FunctionData) -> base.Rows:
    import pandas as pd

    made = usercode.call(section.function, section, what="data.function")
    if not isinstance(made, pd.DataFrame):
        raise errors.DataError(
            f"data.function {section.function} returned a {type(made).__name__}: "
            "wanted a pandas DataFrame with the target in it"
        )
    shape = made.attrs.get("image_shape")
    origin = f"data.function {section.function}"
    return base.Rows(made.reset_index(drop=True), tuple(shape) if shape else None, origin, {})
