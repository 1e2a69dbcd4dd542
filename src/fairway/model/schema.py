"""The schema of raw rows: what a server reads of `schema.json`. numpy only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from fairway import artifacts

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the raw rows."""

    name: str
    kind: str  # see model.kinds
    dtype: str = "float"  # float | int | string
    shape: tuple[int, ...] = ()  # of one row: () for numbers and categories, (c, h, w) for an image
    minimum: float | None = None  # over all rows that were prepared
    maximum: float | None = None
    categories: tuple[str, ...] = ()  # most frequent first
    nullable: bool = False  # missing values were seen

    @cached_property
    def size(self) -> int:
        """Return how many values a row has."""
        return math.prod(self.shape)

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
        )


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What the raw rows look like, and what is predicted."""

    target: str
    classes: tuple[str, ...] = ()  # of a task that has some
    features: tuple[Feature, ...]
    task: str = "classification"  # see model.tasks
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the task keeps besides, as plain JSON

    def to_json(self) -> artifacts.Json:
        features = [feature.to_json() for feature in self.features]
        facts = {"facts": dict(self.facts)} if self.facts else {}
        return {"target": self.target, "task": self.task, "classes": list(self.classes), **facts, "features": features}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schema":
        return cls(
            target=data["target"],
            task=data.get("task", "classification"),
            classes=tuple(data["classes"]),
            facts=dict(data.get("facts") or {}),
            features=tuple(Feature.from_json(feature) for feature in data["features"]),
        )
