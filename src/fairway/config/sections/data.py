"""The `data` section: where rows come from and how they are divided."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from fairway.config.sections.base import Section


class Split(Section):
    """How rows are divided into training, validation and test."""

    method: Literal["stratified", "group", "time", "random"] = "stratified"
    """Stratified by default: each split keeps the classes' shares, which small data needs."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share for early stopping and calibration; 15 % keeps its error under a point from 1,500 rows on."""
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """Share that is looked at once, by evaluation."""
    column: str | None = None
    """The column that names the group (method group) or orders the rows (method time)."""
    purge: Annotated[int, Field(ge=0)] = 0
    """Rows left out between splits in method time, for labels that look ahead; none by default."""

    @model_validator(mode="after")
    def _column_named(self) -> "Split":
        if self.method in ("group", "time") and not self.column:
            raise ValueError(f"split method {self.method} needs split.column")
        return self


class Data(Section):
    """Where the rows come from and what they mean."""

    source: Literal["digits", "csv", "parquet", "idx", "function"] = "csv"
    """`digits` ships with scikit-learn; `idx` is MNIST's format; `function` calls your own code."""
    path: Path | None = None
    """The file (csv, parquet) or the images file (idx)."""
    labels: Path | None = None
    """The labels file of idx."""
    function: str | None = None
    """`package.module:name`, called with this section; returns a pandas DataFrame with the target in it."""
    target: str = "label"
    """The column to predict."""
    features: tuple[str, ...] | None = None
    """The columns to predict from; all but the target and the ignored by default."""
    categorical: tuple[str, ...] = ()
    """Number columns that are codes rather than quantities; text columns are categories without being named."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out: identifiers, what is only known afterwards."""
    extra: tuple[Path, ...] = ()
    """Files of newly labelled rows (parquet) that join the training split; retraining writes them."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Rows to keep, drawn at random with the seed; all by default."""
    missing_values: tuple[str, ...] = ("", "?", "NA", "NaN", "null", "None")
    """How files write a missing value; these are the usual ones."""
    max_categories: Annotated[int, Field(ge=2, le=10000)] = 100
    """A text column with more values than this is refused: it is likely an identifier."""
    split: Split = Split()

    @model_validator(mode="after")
    def _source_complete(self) -> "Data":
        needs = {"csv": "path", "parquet": "path", "idx": "path", "function": "function"}
        need = needs.get(self.source)
        if need and getattr(self, need) is None:
            raise ValueError(f"data.source {self.source} needs data.{need}")
        if self.source == "idx" and self.labels is None:
            raise ValueError("data.source idx needs data.labels")
        return self
