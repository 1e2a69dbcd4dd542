"""The `data` section: where rows come from and how they are divided."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from fairway.config.sections.base import ADDRESS, Fraction, Section
from fairway.config.sections.variants import Variants

USUAL_SOURCE = "csv"  # where `source` is left out


class Split(Section):
    """How rows are divided into training, validation and test."""

    method: Literal["stratified", "group", "time", "random"] = "stratified"
    """Stratified by default: each split keeps the classes' shares, which small data needs. A row
    keeps its side for life."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share for early stopping and calibration; 15 % keeps its error under a point from 1,500 rows
    on."""
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


class Quality(Section):
    """What rows must be to be learnt from; `validate_data` of the pipelines refuses others."""

    least_rows: Annotated[int, Field(ge=1)] = 50
    """Fewer teach and test nothing: an import that broke off."""
    most_unreadable: Fraction = 0.01
    """Share of a column's cells that are none of its kind, beside the model in service: a slip of a
    hand is less, a changed notation is more."""
    most_missing_rise: Fraction = 0.1
    """Rise of the share of a column that is missing, above that of the model's reference: more is a
    feed that ended, whatever is filled in."""


class Data(Section):
    """Where the rows come from and what they mean; each source has keys of its own besides."""

    source: str = USUAL_SOURCE
    """The module of `fairway.data.sources`, or of an installed package, that reads the rows."""
    target: str = "label"
    """The column to predict."""
    task: str | None = None
    """What is learnt of it: classification, regression or a package's own; by default what its
    values suit, which `fairway init` writes down with the reason."""
    targets: tuple[str, ...] = ()
    """Of a multilabel task: the 0/1 columns, one for each label; `target` then names what they are
    together."""
    separator: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """Of a multilabel task whose target holds several words in one cell: what stands between them.
    """
    parents: Mapping[str, str] = {}
    """Of a hierarchical classification: the parent of a class; a wrong class of the right branch
    then costs less."""
    group: str | None = None
    """The column of what rows belong to: they stay in one split, and a ranking ranks them against
    one another."""
    coverage: Annotated[float, Field(ge=0.5, lt=1)] | None = 0.9
    """Of a regression: how often the interval that comes with each answer holds the truth; null for
    none."""
    features: tuple[str, ...] | None = None
    """The columns to predict from; all but the target and the ignored by default."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers or booleans that are codes rather than quantities; text columns are
    categories without being named. A cell of a csv file is a code as it is written: 1.10 is not 1.1.
    """
    kinds: dict[str, str] = Field(default_factory=dict)
    """Kinds of columns that their values do not tell: `{zip: number}`; a column is what its values
    show by default."""
    notations: dict[str, str] = Field(default_factory=dict)
    """How texts of a column are written where they do not tell: `grouped` (12,345.67), `comma`
    (12345,67) or `comma-grouped` (12.345,67) of numbers, the target's too, `day-first` or
    `month-first` of dates."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out: identifiers, what is only known afterwards."""
    extra: tuple[Path, ...] = ()
    """Files of newly labelled rows (parquet, the oldest first) that join the training split;
    retraining writes them."""
    held_out: Annotated[int, Field(ge=0)] = 0
    """Newest rows of `extra` that are the test split, in place of the source's: what a challenger is
    compared on, and never trained on. Retraining sets it (`retraining.heldOut`); none by default:
    three new rows in ten are then compared on beside the test split."""
    sliding: bool = False
    """On: new rows of `extra` take the place of the oldest, so that as many are learnt from as the
    source has; its rows are taken to be in the order of their time. Retraining sets it
    (`retraining.sliding`); off by default, where a person may have chosen the rows."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Divides the rows and draws `limit`; the data's own, so that no seed of a training moves a row
    to another split."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Rows to keep, drawn at random with the seed; all by default."""
    missing_values: tuple[str, ...] = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
    """How a missing value is written, in rows and by clients; words and numbers (-999). These are
    the usual ones."""
    max_categories: Annotated[int, Field(ge=2, le=10000)] = 100
    """A text column with more values than this is refused: it is likely an identifier."""
    split: Split = Split()
    quality: Quality = Quality()
    """What the pipelines of the loop hold new rows to, before anything is learnt from them."""

    @classmethod
    def of(cls, **values: Any) -> "Data":
        """Return the section of the source that the values name; raises pydantic's ValidationError."""
        section: Data = TypeAdapter(DataOfSource).validate_python(values)
        return section

    @property
    def division(self) -> Split:
        """Return how rows are divided: by the group, where one is named and no split of one's own."""
        if self.group is None or self.split.method != "stratified":
            return self.split
        return self.split.model_copy(update={"method": "group", "column": self.group})

    def paths(self) -> Mapping[str, Path]:
        """Return the files that this source names, by their key in the file."""
        return {key: value for key, _, value in self._keyed() if isinstance(value, Path)}

    def addresses(self) -> Mapping[str, str]:
        """Return the addresses of files elsewhere that this source names, by their key in the file."""
        return {
            key: value
            for key, _, value in self._keyed()
            if isinstance(value, str) and ADDRESS.match(value)
        }

    def variables(self) -> tuple[str, ...]:
        """Return the variables that must be there where this source is read; a source's own."""
        return ()

    def brought(self, files: Mapping[str, Path | str]) -> Self:
        """Return the section with these files, by their key in the file, in the place of what it named."""
        return self.model_copy(
            update={name: files[key] for key, name, _ in self._keyed() if key in files}
        )

    def _keyed(self) -> Iterator[tuple[str, str, Any]]:
        """Give of each field its key in the file, its name and its value."""
        for name, value in self:
            yield type(self).model_fields[name].alias or name, name, value

    def moved(self, root: Path) -> Self:
        """Return the section with its relative paths taken from `root`."""
        found: dict[str, Any] = {
            name: root / value for name, value in self if isinstance(value, Path)
        }
        return self.model_copy(update={**found, "extra": tuple(root / path for path in self.extra)})


def _is_said(section: type[Data], field: str, value: Any, values: Mapping[str, Any]) -> bool:
    """Say whether another source's key holds something: configurations of before had all keys of
    all sources."""
    return value is not None


SOURCES = Variants(
    "sources", of=Data, noun="source", tag="source", usual=USUAL_SOURCE, keep=_is_said
)
DataOfSource = Annotated[Data, SOURCES]
