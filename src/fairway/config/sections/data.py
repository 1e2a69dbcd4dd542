"""The `data` section: where rows come from and how they are divided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from fairway import errors, plugins
from fairway.config.sections.base import Section

USUAL_SOURCE = "csv"  # where `source` is left out


class Split(Section):
    """How rows are divided into training, validation and test."""

    method: Literal["stratified", "group", "time", "random"] = "stratified"
    """Stratified by default: each split keeps the classes' shares, which small data needs. A row keeps its side for
    life."""
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
    """Where the rows come from and what they mean; each source has keys of its own besides."""

    source: str = USUAL_SOURCE
    """The module of `fairway.data.sources`, or of an installed package, that reads the rows."""
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
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Divides the rows and draws `limit`; the data's own, so that no seed of a training moves a row to another
    split."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Rows to keep, drawn at random with the seed; all by default."""
    missing_values: tuple[str, ...] = ("", "?", "NA", "NaN", "null", "None")
    """How files write a missing value; these are the usual ones."""
    max_categories: Annotated[int, Field(ge=2, le=10000)] = 100
    """A text column with more values than this is refused: it is likely an identifier."""
    split: Split = Split()

    @classmethod
    def of(cls, **values: Any) -> "Data":
        """Return the section of the source that the values name; raises pydantic's ValidationError."""
        section: Data = TypeAdapter(DataOfSource).validate_python(values)
        return section

    def paths(self) -> Mapping[str, Path]:
        """Return the files that this source names, by their key in the file."""
        aliases = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {aliases[name]: value for name, value in self if isinstance(value, Path)}

    def moved(self, root: Path) -> Self:
        """Return the section with its relative paths taken from `root`."""
        found: dict[str, Any] = {name: root / value for name, value in self if isinstance(value, Path)}
        return self.model_copy(update={**found, "extra": tuple(root / path for path in self.extra)})


class BySource:
    """Marks a field whose section is that of its `source`: ours, or an installed package's."""

    def __get_pydantic_core_schema__(self, declared: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(section) for name, section in source_sections().items()}
        union = core_schema.tagged_union_schema(
            choices,
            discriminator=_source_of,
            custom_error_type="source",
            custom_error_message=f"wanted a source that is installed: {', '.join(choices)}",
        )
        return core_schema.no_info_before_validator_function(_own, union)


def source_sections() -> Mapping[str, type[Data]]:
    """Return each installed source's section by the source's name; raises UsageError for one that has none."""
    found = {name: plugin.load() for name, plugin in plugins.found("sources").items()}
    for name, module in found.items():
        if not (isinstance(section := getattr(module, "SECTION", None), type) and issubclass(section, Data)):
            raise errors.UsageError(f"source {name} has no SECTION: wanted a subclass of sections.Data in its module")
    return {name: module.SECTION for name, module in found.items()}


def _own(values: Any) -> Any:
    """Return the values without other sources' keys that hold nothing: configurations of before had them all."""
    found = source_sections()
    if not isinstance(values, Mapping) or (section := found.get(str(_source_of(values)))) is None:
        return values
    foreign = {name for other in found.values() for name in other.model_fields} - section.model_fields.keys()
    named = {key for name in foreign for key in (name, to_camel(name))}
    return {key: value for key, value in values.items() if value is not None or key not in named}


def _source_of(values: Any) -> Any:
    return values.get("source", USUAL_SOURCE) if isinstance(values, Mapping) else getattr(values, "source", None)


DataOfSource = Annotated[Data, BySource()]
