"""Booleans: true or false, missing where they are NaN."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway.model import traits
from fairway.model.kinds import base, number
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

WORDS = {"true": 1.0, "false": 0.0}
# taken from clients; in a file they are numbers
DIGITS = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
MISSING = 2  # as a bin and in drift


class Boolean(number.Number):
    """Columns are float64 [n]: 1 where true, 0 where false, NaN where missing."""

    name, noun, dtype = "boolean", "true or false", "boolean"
    datatype, datatype_wanted = "BOOL", "BOOL for a boolean"
    wanted = "true or false"
    notations = ("",)
    digits = False

    def cell(self, value: Any, feature: Feature) -> Any:
        if type(value) is str:
            word = value.strip().lower()
            found = WORDS.get(word, DIGITS.get(word))
        else:
            found = (
                float(value) if isinstance(value, bool | int | float) and value in (0, 1) else None
            )
        if found is None:
            raise base.Unreadable(value, wanted=self.wanted)
        return found

    def fits(self, numbers: Array) -> bool:
        return bool(((numbers == 0) | (numbers == 1) | np.isnan(numbers)).all())

    def unmixed(self, values: Array | list[Any], feature: Feature) -> Array | list[Any]:
        return values

    def single(self, value: Any, feature: Feature) -> Array | None:
        return np.array((value,), dtype=np.float64) if type(value) is bool else None

    def notation_of(self, values: Array) -> str | None:
        if values.dtype.kind == "b":
            return ""
        if values.dtype != object or not set(map(type, values.tolist())) <= {bool, np.bool_, str}:
            return None
        return (
            ""
            if all(
                type(one) is not str or one.strip().lower() in WORDS for one in set(values.tolist())
            )
            else None
        )

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        low, high = float(values.min()), float(values.max())
        return Feature(
            name=name,
            kind=self.name,
            dtype=self.dtype,
            nullable=nullable,
            minimum=low,
            maximum=high,
        )

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        return (
            {"min": 0.0, "max": 1.0}
            if entry.get("range") is None
            else base.declared_range(entry, where=where)
        )

    def describe(self, feature: Feature) -> str:
        return "true or false"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        low, high = base.range_of(feature) or (0.0, 1.0)
        return [high if step % 2 else low for step in steps.tolist()]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return the more frequent of the two where missing, then mean 0 and deviation 1."""
        known = values[~np.isnan(values)]
        usual = float(known.mean() >= 0.5) if len(known) else 0.0
        filled = np.where(np.isnan(values), usual, values)
        deviation = float(filled.std())
        return [
            {"op": "impute", "value": usual},
            {
                "op": "scale",
                "mean": float(filled.mean()),
                "std": deviation if deviation > 0 else 1.0,
            },
        ]

    def remark(self, feature: Feature, values: Array) -> str | None:
        return None

    def profile(self, values: Array) -> Json:
        absent = np.isnan(values)
        known = values[~absent]
        return {"missing": float(absent.mean()), "true": float(known.mean()) if len(known) else 0.0}

    def parts(self, values: Array, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
        named = {f"{feature.name} = true": values == 1, f"{feature.name} = false": values == 0}
        return [*named.items(), (f"{feature.name} = (missing)", np.isnan(values))]

    def is_sliced(self, feature: Feature) -> bool:
        return True

    def bins(self, values: Array) -> tuple[NDArray[np.int64], int] | None:
        different, codes = np.unique(_codes(values), return_inverse=True)
        return codes.astype(np.int64), len(different)

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        before, after = _codes(reference.reshape(-1)), _codes(window.reshape(-1))
        if len(before) and len(after) and len(np.unique(np.concatenate([before, after]))) > 1:
            yield Compared(name=name, kind="category", reference=before, window=after)

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        yield traits.codes(
            name, ["true"], read=lambda column: np.where(column > 0, 0, -1), joins=True
        )
        yield traits.missing(name, lambda column: np.isnan(column.reshape(-1)))

    def plain_list(self, values: Array) -> list[Any]:
        return [
            None if base.is_missing(value) else bool(value) for value in values.ravel().tolist()
        ]

    def to_json(self, values: Array) -> Any:
        return self.plain_list(values)


def _codes(values: Array) -> NDArray[np.int64]:
    return np.where(np.isnan(values), MISSING, values).astype(np.int64)
