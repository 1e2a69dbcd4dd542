"""Regression: a quantity, with an interval that holds the truth as often as stated."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model.kinds import base as kind
from fairway.model.kinds import number
from fairway.model.kinds.base import Compared
from fairway.model.metrics import Metric, figure, quantities
from fairway.model.metrics.quantities import TINY, r_squared
from fairway.model.schema import Feature, Schema
from fairway.model.tasks import base
from fairway.model.tasks.base import Array, Declared, Json, Output, Scores

MOST_CODES = 30  # whole numbers with more different values than this count or measure something
MOST_FRACTIONS = 20
STRATA, ROWS_A_STRATUM = 20, 10
SUSPICIOUS = 0.99  # share of the variance that one feature alone explains
SPREAD = 0.05, 0.95  # the quantiles of the target between which an error is as large as can be
DECILES, BARS = 10, 30
LEAST = 0.5  # coverage of an interval
ROUGH = 0.01  # of the mean: float32 has seven digits
SMALLEST, LARGEST = 1e-30, 1e30  # of float32
RESOLVED = 1e-6  # the deviation by the largest number: float32 rounds by a tenth of it then
DRAWN = 2_000  # training targets that stand for all of them in the expectation of a random guess
READER, NAMELESS = number.Number(), Feature(name="the target", kind="number")


class Regression(base.Task):
    """Labels and the target are numbers; raw answers are the value and the ends of its interval, or
    the value alone.

    An error counts as its share of the target's spread, 1 at most: what lies between the 5 % and
    the 95 % quantile.
    """

    name = "regression"
    output = "value"
    side = "fairway.training.losses:RegressionSide"
    measured_by: ClassVar[tuple[str, ...]] = (
        "rmse",
        "mae",
        "r2",
        "pinball",
        "coverage",
        "interval",
    )
    quantifies: ClassVar[bool] = True
    declares: ClassVar[tuple[str, ...]] = ("range", "coverage")
    rules = {"zero_rule": "always the mean", "random": "guessing a row of training"}  # noqa: RUF012 - a constant

    def measured(self, scores: Mapping[str, float]) -> tuple[Metric, ...]:
        """Return the metrics of these scores, those of stated quantiles last."""
        return (*super().measured(scores), *quantities.stated(scores))

    def suits(self, values: Array, declared: Declared) -> str | None:
        try:
            column = _column(values)
        except (kind.Unreadable, TypeError, ValueError):
            return None
        if values.dtype.kind == "b" or _are_names(values):
            return None
        distinct, whole = len(np.unique(column)), bool((column == column.round()).all())
        if distinct <= (MOST_CODES if whole else MOST_FRACTIONS):
            return None
        return f"{distinct:,} different {'whole numbers' if whole else 'fractions'} in order: a quantity"

    def learn(self, values: Array, declared: Declared) -> Json:
        column = np.array(self.read(values), dtype=np.float64)
        if not len(column) or column.min() == column.max():
            seen = f"only {column[0]:g}" if len(column) else "no value at all"
            raise errors.DataError(
                f"the target {declared.target} has {seen}: wanted numbers that differ"
            )
        largest = np.abs(column).max()
        if not SMALLEST <= largest <= LARGEST or column.std() < RESOLVED * largest:
            raise errors.DataError(
                f"the target {declared.target} has {column.min():.10g} to {column.max():.10g}, which 32-bit answers do "
                "not tell apart: take a constant from it, or give it in another unit"
            )
        low, high = np.quantile(column, SPREAD)
        written = declared.notation or _written(values)
        facts = {
            "mean": float(column.mean()),
            "std": float(column.std()),
            "spread": float(high - low) or float(column.max() - column.min()),
            "coverage": declared.coverage,
        }
        return {"facts": facts | ({"notation": written} if written else {})}

    def read(self, values: Array) -> list[Any]:
        """Return the numbers, None where missing."""
        try:
            column = _column(values)
        except kind.Unreadable as error:
            raise errors.DataError(
                f"the target is {errors.excerpt(error.value)!r} in row {error.row}: wanted {error.wanted}; correct it, "
                "or add it to data.missingValues"
            ) from error
        return [None if math.isnan(value) else value for value in column.tolist()]

    def label(self, value: Any, schema: Schema) -> Any:
        # one text alone does not show how its column was written
        notation = schema.facts.get("notation", "")
        try:
            if isinstance(value, str):
                value = READER.cell(value, dataclasses.replace(NAMELESS, notation=notation))
            (found,) = self.read(np.array([value], dtype=object))
        except (errors.DataError, TypeError, ValueError):
            return None
        return found

    def wanted(self, schema: Schema) -> str:
        return "a number"

    def encode(self, labels: Sequence[Any], schema: Schema) -> Array:
        return np.array(
            [math.nan if label is None else label for label in labels], dtype=np.float64
        )

    def known(self, target: Array) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = ~np.isnan(target)
        return known

    def strata(self, target: Array) -> NDArray[np.int64]:
        """Return the groups of rows with about the same value."""
        groups = max(1, min(STRATA, len(target) // ROWS_A_STRATUM))
        edges = np.quantile(target, np.linspace(0, 1, groups + 1)[1:-1])
        return np.searchsorted(edges, target, side="right").astype(np.int64)

    def lacking(self, target: Array, schema: Schema) -> list[str]:
        return []

    def unlearnable(self, target: Array, schema: Schema) -> str | None:
        if len(target) and target.min() < target.max():
            return None
        return (
            "all have the same target: wanted numbers that differ, there is nothing to tell apart"
        )

    def profile(self, target: Array, schema: Schema) -> Json:
        return {"target": READER.profile(target)}

    def describe(self, target: Array, schema: Schema) -> str:
        low, high, mean = (
            figure(value, digits=6) for value in (target.min(), target.max(), target.mean())
        )
        return f"{low} to {high}, {mean} on average"

    def told_by(self, bins: NDArray[np.int64], target: Array) -> str | None:
        rows = np.bincount(bins)
        means = np.bincount(bins, weights=target) / np.maximum(rows, 1)
        free = len(target) - int((rows > 0).sum())
        if free <= 0:
            return None
        left, all_of_it = (
            float(((target - means[bins]) ** 2).sum() / free),
            float(target.var(ddof=1)),
        )
        # adjusted: of many bins with few rows each it is no larger
        share = 1 - left / max(all_of_it, TINY)
        return f"explains {share:.1%} of the target's variance" if share > SUSPICIOUS else None

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        between = kind.declared_range(entry, where=where)
        low, high = between["min"], between["max"]
        if low is None or low == high:
            raise errors.PackageError(
                f"{where}: range is {entry.get('range')!r}: wanted [low, high], between what the target mostly lies"
            )
        coverage = entry.get("coverage")
        if coverage is not None and (type(coverage) is not float or not LEAST <= coverage < 1):
            raise errors.PackageError(
                f"{where}: coverage is {coverage!r}: wanted a share from {LEAST} to 1"
            )
        spread = high - low
        return {
            "facts": {
                "mean": low + spread / 2,
                "std": spread / 4,
                "spread": spread,
                "coverage": coverage,
            }
        }

    def width(self, schema: Schema) -> int:
        return 1 if schema.facts.get("coverage") is None else 3

    def answers(self, raw: Array, schema: Schema) -> list[Any]:
        found: list[Any] = raw[:, 0].astype(np.float64).tolist()
        return found

    def translated(self, raw: Array, *, given: Schema, wanted: Schema) -> Array:
        """Return the values alone where the intervals are of another coverage."""
        return raw if given.facts.get("coverage") == wanted.facts.get("coverage") else raw[:, :1]

    def outputs(self, schema: Schema) -> tuple[Output, ...]:
        names = ("value", "lower", "upper")[: self.width(schema)]
        return tuple(Output(name, "FP32") for name in names)

    def value(self, output: str, *, raw: Array, labels: list[Any]) -> Any:
        return raw[:, ("value", "lower", "upper").index(output)]

    def told(self, outputs: Mapping[str, Any]) -> Json:
        interval = {"interval": [outputs["lower"], outputs["upper"]]} if "lower" in outputs else {}
        return {"answer": outputs["value"], **interval}

    def row_bytes(self, schema: Schema, *, number: int) -> int:
        return self.width(schema) * number

    def improper(self, raw: Array) -> str | None:
        if raw.shape[1] == 1 or not len(raw):
            return None
        wrong = np.flatnonzero((raw[:, 1] > raw[:, 0]) | (raw[:, 0] > raw[:, 2]))
        if not len(wrong):
            return None
        value, low, high = raw[wrong[0]]
        return f"answers {value:g} with the interval {low:g} to {high:g}: wanted the value between the ends"

    def unit(self, schema: Schema) -> float:
        """Return the target's deviation; float32 resolves no more of a large mean."""
        return max(float(schema.facts["std"]), ROUGH * abs(float(schema.facts["mean"])))

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return what a guess of any row of training reaches on average."""
        drawn = np.quantile(train, np.linspace(0, 1, min(len(train), DRAWN)))
        squared = float(((target - train.mean()) ** 2).mean() + train.var())
        random = {
            "rmse": math.sqrt(squared),
            "mae": float(np.mean([np.abs(drawn - value).mean() for value in target])),
            "r2": r_squared(squared, target),
        }
        return {"random": random}

    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        """Return any values of training, and its mean, between quantiles of it where there are
        intervals."""
        values = {
            "random": base.drawn(train, rows).astype(np.float64),
            "zero_rule": np.full(rows, train.mean()),
        }
        if self.width(schema) == 1:
            return {rule: value[:, None] for rule, value in values.items()}
        tail = (1 - schema.facts["coverage"]) / 2
        low, high = np.quantile(train, [tail, 1 - tail])
        return {
            rule: np.column_stack([value, np.minimum(value, low), np.maximum(value, high)])
            for rule, value in values.items()
        }

    def details(self, raw: Array, target: Array, schema: Schema) -> Json:
        """Return the rows' means by tenths of the answers, and the errors' histogram."""
        said = raw[:, 0].astype(np.float64)
        counts, edges = np.histogram(said - target, bins=BARS)
        tenths = [
            part for part in np.array_split(np.argsort(said, kind="stable"), DECILES) if len(part)
        ]
        return {
            "tenths": [
                {
                    "rows": len(part),
                    "answered": float(said[part].mean()),
                    "true": float(target[part].mean()),
                }
                for part in tenths
            ],
            "errors": {"edges": edges.tolist(), "rows": counts.tolist()},
        }

    def gauge(self, schema: Schema) -> Json:
        return {key: schema.facts[key] for key in ("spread", "notation") if key in schema.facts}

    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        apart = np.abs(np.asarray(answers, dtype=np.float64) - np.asarray(labels, dtype=np.float64))
        lost: Array = np.minimum(1.0, apart / float(schema.facts["spread"]))
        return lost

    def expected_loss(self, raw: Array, schema: Schema) -> Array:
        """Return the mean error of a bell-shaped answer with this interval, by the spread; without
        intervals as `uncertainty`."""
        unsure = self.uncertainty(raw, schema)
        if raw.shape[1] > 1:
            deviations = 2 * NormalDist().inv_cdf((1 + float(schema.facts["coverage"])) / 2)
            unsure = unsure * math.sqrt(2 / math.pi) / deviations
        lost: Array = np.minimum(unsure, 1.0)
        return lost

    def uncertainty(self, raw: Array, schema: Schema) -> Array:
        """Return the width of each interval by the spread, or how far a value alone is from the mean."""
        apart = (
            raw[:, 2] - raw[:, 1] if raw.shape[1] > 1 else raw[:, 0] - float(schema.facts["mean"])
        )
        unsure: Array = np.abs(apart) / float(schema.facts["spread"])
        return unsure

    def differ(self, one: Sequence[Any], other: Sequence[Any], schema: Schema) -> Array:
        return self.loss(one, other, schema)

    def compared(self, reference: Array, window: Array, schema: Schema) -> Iterator[Compared]:
        yield from number.compared("value", reference[:, 0], window[:, 0])

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        facts = claimed.get("facts")
        if not isinstance(facts, Mapping):
            return "facts", facts, "the target's mean, std, spread and coverage"
        for name in ("mean", "std", "spread"):
            value: Any = facts.get(name)
            if (
                type(value) not in (int, float)
                or not math.isfinite(value)
                or (name != "mean" and value <= 0)
            ):
                return (
                    f"facts: {name}",
                    value,
                    "a finite number" + ("" if name == "mean" else " above 0"),
                )
        if facts.get("notation", "") not in READER.notations:
            wanted = " or ".join(one for one in READER.notations if one)
            return "facts: notation", facts["notation"], f"{wanted}, or nothing"
        coverage = facts.get("coverage")
        if coverage is not None and (type(coverage) is not float or not LEAST <= coverage < 1):
            return (
                "facts: coverage",
                coverage,
                f"a share from {LEAST} to 1, or null where there are no intervals",
            )
        return None


def _column(values: Array) -> Array:
    """Return the numbers of a target column, whose texts may all be written with decimal commas.

    Raises Unreadable. A column shows how it is written; one label alone does not, see `label`.
    """
    return READER.read(values, dataclasses.replace(NAMELESS, notation=_written(values)))


def _written(values: Array) -> str:
    """Return how a target column's texts are written, as JSON writes numbers where they do not show
    it."""
    try:
        READER.read(values, NAMELESS)
    except kind.Unreadable:
        return _notation(values) or ""
    return ""


def _notation(values: Array) -> str | None:
    known = [value for value in values.tolist() if not kind.is_missing(value)]
    try:
        return READER.notation_of(np.array(known, dtype=object))
    except kind.Ambiguous:
        return None


def _are_names(values: Array) -> bool:
    """Say whether texts are names, though they may be digits: what only a person writes, 1.250,50,
    is a number."""
    plain = values.tolist()
    return all(isinstance(value, bool | str) for value in plain) and all(
        _is_digits(value) for value in plain
    )


def _is_digits(value: bool | str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
