"""A guard's section: what every type of guard has, and how a guard of a file finds the section of
its type.

A type of guard is a module of `fairway.rollout.guards`, or of an installed package, found by the
entry-point group `fairway.guards`.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from fairway.config import patterns
from fairway.config.sections.base import Section
from fairway.config.sections.variants import Variants


def _never(guard: Any) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must hold of a guard.

    A file is held to `broken`, `only` and `without`, and told the `sentence`; the API server has
    `cel` and `message`.
    """

    broken: Callable[[Any], bool] = _never
    # a field of this type: a guard of a type without it may have `harmless` values at most
    only: str | None = None
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

    name: Annotated[str, Field(pattern=patterns.NAME, max_length=53)]
    """How verdicts and metrics call it."""
    type: str
    """What it watches."""
    gates: Literal["shadow", "canary", "bake", "watch"] | None = None
    """Where it must hold. By default disagreement gates shadow, errors and latency gate canary, the
    others only watch; a guard that watches can still roll back."""

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
                raise ValueError(
                    rule.sentence.format(name=self.name, type=self.type, stage=self.stage)
                )
        return self


def needs(values: Any, *fields: str, sentence: str) -> Any:
    """Return the values of a section; raises ValueError with the sentence where one of the fields
    is not said."""
    if isinstance(values, Mapping) and any(values.get(field) is None for field in fields):
        raise ValueError(sentence.format(name=values.get("name")))
    return values


def guard_rules() -> tuple[Rule, ...]:
    """Return the rules of all types; types may share one."""
    return tuple(rule for section in GUARDS.sections.values() for rule in section.RULES)


def _drop(section: type[Guard], field: str, value: Any, values: Mapping[str, Any]) -> bool:
    """Drop another type's field: the API server fills in the defaults of all types, and it means
    nothing here.

    Raises ValueError where it would mislead, or holds what it could hold of no type.
    """
    if value is None:
        return False
    theirs = [rule for rule in guard_rules() if rule.only == field and value not in rule.harmless]
    for rule in [*(rule for rule in section.RULES if rule.without == field), *theirs]:
        stage = values.get("gates") or section.PLACE
        raise ValueError(
            rule.sentence.format(name=values.get("name"), type=values.get("type"), stage=stage)
        )
    try:
        _checking(field).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{to_camel(field)} is {value!r}: {error.errors()[0]['msg']}") from error
    return False


@functools.cache
def _checking(field: str) -> TypeAdapter[Any]:
    """Return what checks a field of a type that has it."""
    found = next(
        section.model_fields[field]
        for section in GUARDS.sections.values()
        if field in section.model_fields
    )
    return TypeAdapter(found.rebuild_annotation())


GUARDS = Variants("guards", of=Guard, noun="guard", tag="type", keep=_drop)
GuardOfType = Annotated[Guard, GUARDS]
