"""A guard's section: what every type of guard has, and how a guard of a file finds the section of its type.

A type of guard is a module of `fairway.rollout.guards`, or of an installed package, found by the entry-point group
`fairway.guards`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from fairway import errors, plugins
from fairway.config.sections.base import NAME, Section


def _never(guard: Any) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must hold of a guard.

    A file is held to `broken`, `only` and `without`, and told the `sentence`; the API server has `cel` and `message`.
    """

    broken: Callable[[Any], bool] = _never
    only: str | None = None  # a field of this type: a guard of a type without it may have `harmless` values at most
    harmless: tuple[Any, ...] = ()
    without: str | None = None  # a field of other types that this one must not have
    sentence: str  # with {name}, {type} and {stage} of the guard
    cel: str
    message: str


# Of every type but disagreement, which alone knows of copies.
NOT_SHADOW = Rule(
    broken=lambda guard: guard.stage == "shadow",
    sentence="guard {name} of type {type} cannot gate shadow",
    cel="self.type == 'disagreement' || !has(self.gates) || self.gates != 'shadow'",
    message="only a guard of type disagreement can gate shadow",
)


class Guard(Section):
    """A limit that must hold."""

    name: Annotated[str, Field(pattern=NAME, max_length=53)]
    """How verdicts and metrics call it."""
    type: str
    """What it watches."""
    gates: Literal["shadow", "canary", "bake", "watch"] | None = None
    """Where it must hold. By default disagreement gates shadow, errors and latency gate canary, the others only
    watch; a guard that watches can still roll back."""

    PLACE: ClassVar[str] = "watch"
    """The stage that it gates where nothing is said."""
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @property
    def stage(self) -> str:
        """Where the guard must hold, its type's own place where nothing is said."""
        return self.gates or self.PLACE

    @property
    def sliced_by(self) -> str | None:
        """The feature whose every value must hold by itself."""
        return None

    @property
    def timed(self) -> timedelta | None:
        """The threshold that the gateway's counts must tell of."""
        return None

    def by_requests(self) -> Self:
        """Return the guard for a gateway whose counts are all that there is.

        It counts requests, if it can and nothing else was said.
        """
        return self

    @classmethod
    def of(cls, **values: Any) -> "Guard":
        """Return the section of the type that the values name; raises pydantic's ValidationError."""
        guard: Guard = TypeAdapter(GuardOfType).validate_python(values)
        return guard

    @model_validator(mode="after")
    def _holds(self) -> Self:
        for rule in self.RULES:
            if rule.broken(self):
                raise ValueError(rule.sentence.format(name=self.name, type=self.type, stage=self.stage))
        return self


def needs(values: Any, *fields: str, sentence: str) -> Any:
    """Return the values of a section; raises ValueError with the sentence where one of the fields is not said."""
    if isinstance(values, Mapping) and any(values.get(field) is None for field in fields):
        raise ValueError(sentence.format(name=values.get("name")))
    return values


class ByType:
    """Marks a field whose section is that of its `type`: ours, or an installed package's."""

    def __get_pydantic_core_schema__(self, declared: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(section) for name, section in guard_sections().items()}
        union = core_schema.tagged_union_schema(
            choices,
            discriminator=_type_of,
            custom_error_type="guard",
            custom_error_message=f"wanted a type of guard that is installed: {', '.join(choices)}",
        )
        return core_schema.no_info_before_validator_function(_own, union)


def guard_sections() -> Mapping[str, type[Guard]]:
    """Return each installed type's section by the type's name; raises UsageError for one that has none."""
    found = {name: plugin.load() for name, plugin in plugins.found("guards").items()}
    for name, module in found.items():
        if not (isinstance(section := getattr(module, "SECTION", None), type) and issubclass(section, Guard)):
            raise errors.UsageError(f"guard {name} has no SECTION: wanted a subclass of sections.Guard in its module")
    return {name: module.SECTION for name, module in found.items()}


def guard_rules() -> tuple[Rule, ...]:
    """Return the rules of all types; types may share one."""
    return tuple(rule for section in guard_sections().values() for rule in section.RULES)


def _type_of(values: Any) -> Any:
    return values.get("type") if isinstance(values, Mapping) else getattr(values, "type", None)


def _own(values: Any) -> Any:
    """Return the values without fields of other types, which mean nothing here.

    The API server fills in the defaults of all types. Raises ValueError for a field that would mislead.
    """
    found = guard_sections()
    if not isinstance(values, Mapping) or (section := found.get(str(values.get("type")))) is None:
        return values
    foreign = {name for other in found.values() for name in other.model_fields} - section.model_fields.keys()
    named = {key: name for name in foreign for key in (name, to_camel(name))}
    for key in values.keys() & named.keys():
        _harmless(section, named[key], values[key], values=values)
    return {key: value for key, value in values.items() if key not in named}


def _harmless(section: type[Guard], field: str, value: Any, *, values: Mapping[str, Any]) -> None:
    """Raise ValueError where a rule is broken by another type's field."""
    if value is None:
        return
    theirs = [rule for rule in guard_rules() if rule.only == field and value not in rule.harmless]
    for rule in [*(rule for rule in section.RULES if rule.without == field), *theirs]:
        stage = values.get("gates") or section.PLACE
        raise ValueError(rule.sentence.format(name=values.get("name"), type=values.get("type"), stage=stage))


GuardOfType = Annotated[Guard, ByType()]
