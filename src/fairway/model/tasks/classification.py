"""Classification: one of two or more classes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model.kinds.base import Compared, declared_word, is_missing
from fairway.model.labels import read, word
from fairway.model.metrics import calibration
from fairway.model.metrics.classes import log_loss, positives
from fairway.model.schema import Schema
from fairway.model.tasks import base, nominal
from fairway.model.tasks.base import Array, Declared, Json, Output, Scores

MAX_CLASSES = 1000
MAX_NUMBERED = 100  # classes that are numbers: beyond it they are quantities, which is another task
MAX_FRACTIONS = 20
ROWS_A_CLASS = 3
UNKNOWN = -1  # the target of a label that is no class
SUM_OFF = 1e-3  # float16 graphs add up to 1 no better
MOST_CLAIMED = 10_000  # a probability of each class is in every answer
SHOWN = 10  # classes in a sentence


class Classification(base.Task):
    """Labels are class names, the target their places in the schema, raw answers a probability for
    each class."""

    name = "classification"
    output = "probabilities"
    side = "fairway.training.losses:ClassificationSide"
    measured_by: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "log_loss",
        "balanced_accuracy",
        "average_precision",
        "calibration_error",
    )
    declares: ClassVar[tuple[str, ...]] = ("classes",)
    rules = {  # noqa: RUF012 - a constant
        "zero_rule": "always the most frequent class",
        "random": "guessing by the classes' shares",
    }

    def learn(self, values: Array, declared: Declared) -> Json:
        target = declared.target
        classes = sorted(set(self.read(values)), key=_order)
        if len(classes) < 2:
            seen = f"only {classes[0]!r}" if classes else "no value at all"
            raise errors.DataError(
                f"the target {target} has {seen}: wanted at least two classes to tell apart"
            )
        quantity = _quantity(_numbers(values), len(classes))
        if quantity:
            raise errors.DataError(
                f"the target {target} has {len(classes)} different {quantity}, which looks like a quantity: "
                "set data.task to regression, or cut it into classes first"
            )
        if len(classes) > min(MAX_CLASSES, max(20, len(values) // ROWS_A_CLASS)):
            raise errors.DataError(
                f"the target {target} has {len(classes)} classes in {len(values)} rows: wanted at least three "
                "rows a class"
            )
        return {"classes": classes}

    def read(self, values: Array) -> list[Any]:
        """Return the class names: whole numbers without a point, text without spaces around it, ""
        where missing."""
        numbers = _numbers(values)
        if numbers is not None and numbers.dtype.kind == "f" and _are_whole(numbers):
            return ["" if is_missing(value) else str(int(value)) for value in numbers.tolist()]
        return ["" if is_missing(value) else str(value).strip() for value in values.tolist()]

    def label(self, value: Any, schema: Schema) -> Any:
        text = word(value)
        if text is None or not schema.classes:  # an event store knows none
            return text
        return read(text, schema.classes)

    def wanted(self, schema: Schema) -> str:
        if not schema.classes:
            return "the name of a class"
        shown = ", ".join(schema.classes[:SHOWN])
        return f"one of the classes {shown}{', ...' if len(schema.classes) > SHOWN else ''}"

    def encode(self, labels: Sequence[Any], schema: Schema) -> Array:
        place = {name: index for index, name in enumerate(schema.classes)}
        return np.array([place.get(label, UNKNOWN) for label in labels], dtype=np.int64)

    def known(self, target: Array) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = target != UNKNOWN
        return known

    def strata(self, target: Array) -> NDArray[np.int64]:
        return target

    def lacking(self, target: Array, schema: Schema) -> list[str]:
        present = set(target.tolist())
        return [
            f"class {name!r}" for index, name in enumerate(schema.classes) if index not in present
        ]

    def unlearnable(self, target: Array, schema: Schema) -> str | None:
        present = np.unique(target)
        if len(present) > 1:
            return None
        only = schema.classes[int(present[0])]
        return f"are of class {only!r}: wanted two classes at least, there is nothing to tell apart"

    def profile(self, target: Array, schema: Schema) -> Json:
        counts = np.bincount(target, minlength=len(schema.classes))
        return {"classes": dict(zip(schema.classes, counts.tolist(), strict=True))}

    def describe(self, target: Array, schema: Schema) -> str:
        counts = np.bincount(target, minlength=len(schema.classes))
        return nominal.described(counts / len(target), schema.classes, noun="classes")

    def rarest(self, target: Array, schema: Schema) -> float | None:
        return float(np.bincount(target, minlength=len(schema.classes)).min() / len(target))

    def told_by(self, bins: NDArray[np.int64], target: Array) -> str | None:
        told = nominal.told(bins, target)
        if told is None:
            return None
        share, usual = told
        return f"tells the class of {share:.1%} of the rows (the most frequent class: {usual:.1%})"

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        classes = entry.get("classes")
        if (
            not isinstance(classes, list)
            or len(classes) < 2
            or len(set(map(str, classes))) != len(classes)
        ):
            raise errors.PackageError(
                f"{where}: classes is {classes!r}: wanted a list of at least two different names"
            )
        return {"classes": [declared_word(name, where=f"{where}: classes") for name in classes]}

    def width(self, schema: Schema) -> int:
        return len(schema.classes)

    def answers(self, raw: Array, schema: Schema) -> list[Any]:
        """Return the most probable class of each row."""
        return [schema.classes[index] for index in raw.argmax(axis=1)]

    def translated(self, raw: Array, *, given: Schema, wanted: Schema) -> Array:
        """Return the probabilities in the wanted classes' order; those of classes that it has not
        come after them."""
        strange = [name for name in given.classes if name not in wanted.classes]
        place = {name: index for index, name in enumerate((*wanted.classes, *strange))}
        table = np.zeros((len(raw), len(place)), dtype=np.float64)
        table[:, [place[name] for name in given.classes]] = raw
        return table

    def outputs(self, schema: Schema) -> tuple[Output, ...]:
        probabilities = Output("probabilities", "FP32", (len(schema.classes),))
        return Output("label", "BYTES"), probabilities, Output("confidence", "FP32")

    def value(self, output: str, *, raw: Array, labels: list[Any]) -> Any:
        if output == "label":
            return labels
        return raw if output == "probabilities" else raw.max(axis=1)

    def columns(self, schema: Schema) -> tuple[str, ...]:
        return schema.classes

    def told(self, outputs: Mapping[str, Any]) -> Json:
        return {"answer": outputs["label"], "confidence": round(outputs["confidence"], 4)}

    def row_bytes(self, schema: Schema, *, number: int) -> int:
        longest = max(len(json.dumps(name, ensure_ascii=False).encode()) for name in schema.classes)
        # 4 bytes of length before a binary label
        return longest + 4 + (len(schema.classes) + 1) * number

    def improper(self, raw: Array) -> str | None:
        off = np.abs(raw.sum(axis=1, dtype=np.float64) - 1)
        if not len(raw) or (off.max() <= SUM_OFF and raw.min() >= -SUM_OFF):
            return None
        worst = raw[off.argmax() if off.max() > SUM_OFF else raw.min(axis=1).argmin()]
        return f"answers with a row {_some(worst)}: wanted probabilities that add up to 1, with the softmax inside"

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return guessing by the classes' training shares, and always saying the most frequent;
        both lose what the shares lose."""
        shares = np.bincount(train, minlength=len(schema.classes)) / len(train)
        counts = np.bincount(target, minlength=len(schema.classes)) / len(target)
        loss = log_loss(np.tile(shares, (len(target), 1)), target)
        present = counts[counts > 0]
        even = {"log_loss": loss, "average_precision": positives(counts)}
        guessed = float(shares[counts > 0].mean())
        always = float((counts > 0)[shares.argmax()]) / len(present)
        return {
            "random": {"accuracy": float(shares @ counts), "balanced_accuracy": guessed, **even},
            "zero_rule": {
                "accuracy": float((target == shares.argmax()).mean()),
                "balanced_accuracy": always,
                **even,
            },
        }

    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        sure = np.eye(len(schema.classes), dtype=np.float32)
        shares = np.bincount(train, minlength=len(schema.classes)) / len(train)
        return {
            "random": sure[base.drawn(train, rows)],
            "zero_rule": np.tile(shares.astype(np.float32), (rows, 1)),
        }

    def details(self, raw: Array, target: Array, schema: Schema) -> Json:
        table = confusion(raw.argmax(axis=1), target, classes=len(schema.classes))
        return {
            "per_class": per_class(table, names=schema.classes),
            "confusion": table.tolist(),
            "reliability": calibration.reliability(raw, target),
        }

    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        return np.array([float(one != other) for one, other in zip(answers, labels, strict=True)])

    def expected_loss(self, raw: Array, schema: Schema) -> Array:
        """Return the probability that the class is another one."""
        lost: Array = (1 - raw.max(axis=1)).clip(0, 1)
        return lost

    def uncertainty(self, raw: Array, schema: Schema) -> Array:
        """Return the entropy of the classes."""
        unsure: Array = nominal.entropy(raw).sum(axis=1)
        return unsure

    def differ(self, one: Sequence[Any], other: Sequence[Any], schema: Schema) -> Array:
        return self.loss(one, other, schema)

    def compared(self, reference: Array, window: Array, schema: Schema) -> Iterator[Compared]:
        # Two classes say the same thing twice: one test is enough, and costs less of the window's
        # false-alarm budget.
        places = range(1 if reference.shape[1] == 2 else 0, reference.shape[1])
        yield from nominal.probabilities(reference, window, names=schema.classes, places=places)

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        return base.refused_names(claimed["classes"], key="classes", most=MOST_CLAIMED)


def confusion(predicted: Array, target: Array, *, classes: int) -> Array:
    """Return the counts, [true class, predicted class]."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (target, predicted), 1)
    return table


def per_class(table: Array, *, names: Sequence[str]) -> list[Json]:
    """Return rows, precision, recall and F1 of each class; what has no rows to be measured on is 0."""
    return nominal.scored(table.diagonal(), table.sum(axis=1), table.sum(axis=0), names=names)


def _numbers(values: Array) -> Array | None:
    """Return the values as numbers where every one of them is one, and not a text that looks like
    one."""
    if values.dtype.kind in "iufb":
        return values
    plain = values.tolist()
    if not plain or not all(isinstance(value, int | float) for value in plain):
        return None
    numbers: Array = np.asarray(plain)
    return numbers if numbers.dtype.kind in "iufb" else None


def _are_whole(numbers: Array) -> bool:
    known = numbers[~np.isnan(numbers)]
    return len(known) > 0 and bool((known == known.round()).all())


def _quantity(numbers: Array | None, distinct: int) -> str | None:
    """Return the word for numbers that measure rather than name, or None where they are no such
    numbers."""
    if numbers is None:
        return None
    if numbers.dtype.kind == "f" and distinct > MAX_FRACTIONS and not _are_whole(numbers):
        return "fractions"
    return "numbers" if distinct > MAX_NUMBERED else None


def _order(name: str) -> tuple[int, float, str]:
    """Order numbers by value and the rest by name, so that classes 2 and 10 come as a person
    expects."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _some(row: Array) -> str:
    shown = ", ".join(f"{value:.3g}" for value in row[:4])
    return f"[{shown}{', ...' if len(row) > 4 else ''}]"
