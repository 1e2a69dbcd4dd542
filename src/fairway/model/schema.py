"""The schema of raw rows: what a server reads of `schema.json`. numpy only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from fairway import artifacts
from fairway.model import spelling

Array: TypeAlias = np.ndarray[Any, Any]
# arrays beside the features in a package's reference window and in what the monitor learns
RESERVED = ("__probabilities__", "__row__", "__at__", "__chunk__")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the raw rows."""

    name: str
    kind: str  # see model.kinds
    dtype: str = "float"  # float | int | string, or what its kind says
    shape: tuple[int, ...] = ()  # of one row: () for numbers and categories, (c, h, w) for an image
    minimum: float | None = None  # over all rows that were prepared
    maximum: float | None = None
    categories: tuple[str, ...] = ()  # most frequent first
    nullable: bool = False  # missing values were seen
    # words and numbers that stand for none, besides null, NaN and the empty word
    missing: tuple[str, ...] = ()
    notation: str = ""  # how texts of this kind are written, see the kind's notations

    @cached_property
    def size(self) -> int:
        """Return how many values a row has."""
        return math.prod(self.shape)

    @cached_property
    def gaps(self) -> frozenset[Any]:
        """Return what stands for a missing value: each of the words, and the number that it is."""
        numbers = {spelling.number(word) for word in self.missing} - {None}
        return frozenset({*self.missing, *map(spelling.text, self.missing), *numbers})

    def lacks(self, value: Any) -> bool:
        """Say whether a value stands for none; a boolean never does, though it equals a number."""
        if type(value) is str:
            word = value.strip()
            return (
                not word
                or word in self.gaps
                or (word[-1] in "0." and spelling.text(word) in self.gaps)
            )
        return spelling.is_missing(value) or (
            type(value) in spelling.WRITTEN and value in self.gaps
        )

    @cached_property
    def missing_numbers(self) -> Array:
        """Return the numbers that stand for a missing value."""
        return np.array(
            sorted(value for value in self.gaps if isinstance(value, float)), dtype=np.float64
        )

    @cached_property
    def words(self) -> Mapping[str, str]:
        """Return the category that each spelling of one means; a category's own spelling is its
        own."""
        spelled = {spelling.text(name): name for name in reversed(self.categories) if name}
        return {**spelled, **{name: name for name in self.categories if name}}

    @cached_property
    def numbered(self) -> Mapping[Decimal, tuple[str, ...]]:
        """Return the categories that are equal to each number: 1.10 is 1.1, unless both are codes."""
        found: dict[Decimal, tuple[str, ...]] = {}
        for name in dict.fromkeys(self.words.values()):
            number = spelling.decimal(spelling.text(name))
            if number is not None and spelling.text(name) not in map(
                spelling.text, found.get(number, ())
            ):
                found[number] = (*found.get(number, ()), name)
        return found

    def to_json(self) -> artifacts.Json:
        return {
            "name": self.name,
            "kind": self.kind,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "min": self.minimum,
            "max": self.maximum,
            "categories": list(self.categories),
            "nullable": self.nullable,
            "missing": list(self.missing),
            "notation": self.notation,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Feature":
        return cls(
            name=data["name"],
            kind=data["kind"],
            dtype=data.get("dtype", "float"),
            shape=tuple(data.get("shape") or ()),
            minimum=data.get("min"),
            maximum=data.get("max"),
            categories=tuple(data.get("categories") or ()),
            nullable=bool(data.get("nullable", False)),
            missing=tuple(data.get("missing") or ()),
            notation=data.get("notation") or "",
        )


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What the raw rows look like, and what is predicted."""

    target: str
    classes: tuple[str, ...] = ()  # of a task that has some
    features: tuple[Feature, ...]
    task: str = "classification"  # see model.tasks
    # what the task keeps besides, as plain JSON
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> artifacts.Json:
        features = [feature.to_json() for feature in self.features]
        facts = {"facts": dict(self.facts)} if self.facts else {}
        return {
            "target": self.target,
            "task": self.task,
            "classes": list(self.classes),
            **facts,
            "features": features,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schema":
        return cls(
            target=data["target"],
            task=data.get("task", "classification"),
            classes=tuple(data["classes"]),
            facts=dict(data.get("facts") or {}),
            features=tuple(Feature.from_json(feature) for feature in data["features"]),
        )
