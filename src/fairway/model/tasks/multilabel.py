"""Multilabel classification: any number of the labels at once, none of them included."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model.kinds.base import Compared, declared_word, is_missing
from fairway.model.labels import read, word
from fairway.model.metrics.classes import FLOOR, labels_loss
from fairway.model.metrics.labelsets import said
from fairway.model.schema import Schema
from fairway.model.tasks import base, nominal
from fairway.model.tasks.base import Array, Declared, Json, Output, Scores

MOST_LABELS, MOST_CLAIMED = 1000, 10_000
UNKNOWN = -1  # in the target of a row whose labels are not known
COMMON = 3  # rows of a combination that is a stratum of its own
SHOWN = 6


class Multilabel(base.Task):
    """Labels are lists of names, the target has a column of 0 and 1 for each name, raw answers a
    probability.

    An answer's loss is the share of the names in it or in the truth that are not in both (Jaccard's
    distance).
    """

    name = "multilabel"
    output = "probabilities"
    side = "fairway.training.losses:MultilabelSide"
    measured_by = ("micro_f1", "macro_f1", "log_loss", "exact", "hamming_loss")
    declares = ("classes",)
    rules = {  # noqa: RUF012 - a constant
        "zero_rule": "always the labels that most rows have",
        "random": "guessing by the labels' shares",
    }

    def suits(self, values: Array, declared: Declared) -> str | None:
        if len(values) and all(
            isinstance(value, list | tuple | np.ndarray) for value in values.tolist()
        ):
            return "several labels a row"
        return None

    def learn(self, values: Array, declared: Declared) -> Json:
        classes = sorted({name for names in self.read(values) for name in names})
        if not 1 <= len(classes) <= MOST_LABELS:
            raise errors.DataError(
                f"the target {declared.target} has {len(classes)} different labels: wanted 1 to {MOST_LABELS}"
            )
        return {"classes": classes}

    def read(self, values: Array) -> list[Any]:
        """Return the rows' names; those of a row that has none of them are an empty list, None
        where not known."""
        return [_names(value) for value in values.tolist()]

    def label(self, value: Any, schema: Schema) -> Any:
        words = [word(one) for one in value] if isinstance(value, list | tuple) else [word(value)]
        if not schema.classes:  # an event store knows none
            return None if None in words else sorted({one for one in words if one})
        found = [None if one is None else read(one, schema.classes) for one in words]
        return (
            None
            if None in found
            else sorted({one for one in found if one}, key=schema.classes.index)
        )

    def wanted(self, schema: Schema) -> str:
        if not schema.classes:
            return "a list of names"
        more = ", ..." if len(schema.classes) > SHOWN else ""
        return f"a list of some of {', '.join(schema.classes[:SHOWN])}{more}, such as {json.dumps(schema.classes[:1])}"

    def encode(self, labels: Sequence[Any], schema: Schema) -> Array:
        place = {name: index for index, name in enumerate(schema.classes)}
        target = np.zeros((len(labels), len(place)), dtype=np.int64)
        for row, names in enumerate(labels):
            if names is None or any(name not in place for name in names):
                target[row] = UNKNOWN
            else:
                target[row, [place[name] for name in names]] = 1
        return target

    def known(self, target: Array) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = (target != UNKNOWN).all(axis=1)
        return known

    def strata(self, target: Array) -> NDArray[np.int64]:
        """Return the combinations of labels; rows of a seldom one are with those that share its
        rarest label."""
        _, place, counts = np.unique(target, axis=0, return_inverse=True, return_counts=True)
        shares = np.where(target > 0, target.mean(axis=0), np.inf)
        rarest = np.where(target.any(axis=1), shares.argmin(axis=1), target.shape[1]) + len(counts)
        return np.where(counts[place.ravel()] >= COMMON, place.ravel(), rarest).astype(np.int64)

    def lacking(self, target: Array, schema: Schema) -> list[str]:
        return [
            f"label {name!r}"
            for name, any_row in zip(schema.classes, target.any(axis=0), strict=True)
            if not any_row
        ]

    def unlearnable(self, target: Array, schema: Schema) -> str | None:
        if len(target) and (target != target[0]).any():
            return None
        return "have the same labels: wanted rows that differ, there is nothing to tell apart"

    def profile(self, target: Array, schema: Schema) -> Json:
        return {"labels": dict(zip(schema.classes, target.sum(axis=0).tolist(), strict=True))}

    def describe(self, target: Array, schema: Schema) -> str:
        return nominal.described(target.mean(axis=0), schema.classes, noun="labels")

    def told_by(self, bins: NDArray[np.int64], target: Array) -> str | None:
        told = nominal.told(bins, np.unique(target, axis=0, return_inverse=True)[1].ravel())
        return f"tells the labels of {told[0]:.1%} of the rows" if told is not None else None

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        classes = entry.get("classes")
        if (
            not isinstance(classes, list)
            or not classes
            or len(set(map(str, classes))) != len(classes)
        ):
            raise errors.PackageError(
                f"{where}: classes is {classes!r}: wanted a list of different names"
            )
        return {"classes": [declared_word(name, where=f"{where}: classes") for name in classes]}

    def width(self, schema: Schema) -> int:
        return len(schema.classes)

    def answers(self, raw: Array, schema: Schema) -> list[Any]:
        names = np.array(schema.classes, dtype=object)
        return [names[row].tolist() for row in said(raw)]

    def translated(self, raw: Array, *, given: Schema, wanted: Schema) -> Array:
        """Return the probabilities in the wanted labels' order, 0 for one that the other model has
        not."""
        table = np.zeros((len(raw), len(wanted.classes)), dtype=np.float64)
        for place, name in enumerate(given.classes):
            if name in wanted.classes:
                table[:, wanted.classes.index(name)] = raw[:, place]
        return table

    def outputs(self, schema: Schema) -> tuple[Output, ...]:
        """Return the labels of each row as a JSON list in one text, and the probability of each
        label."""
        return Output("labels", "BYTES"), Output("probabilities", "FP32", (len(schema.classes),))

    def value(self, output: str, *, raw: Array, labels: list[Any]) -> Any:
        return (
            raw
            if output == "probabilities"
            else [json.dumps(names, ensure_ascii=False) for names in labels]
        )

    def columns(self, schema: Schema) -> tuple[str, ...]:
        return schema.classes

    def told(self, outputs: Mapping[str, Any]) -> Json:
        return {"answer": json.loads(outputs["labels"])}

    def row_bytes(self, schema: Schema, *, number: int) -> int:
        names = json.dumps(json.dumps(schema.classes, ensure_ascii=False), ensure_ascii=False)
        # 4 bytes of length before a binary text
        return len(names.encode()) + 4 + len(schema.classes) * number

    def improper(self, raw: Array) -> str | None:
        if not len(raw) or (raw.min() >= 0 and raw.max() <= 1):
            return None
        return f"answers with {raw.min():.3g} to {raw.max():.3g}: wanted probabilities, with the sigmoid inside"

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        """Return what guessing each label by its share reaches, and loses: no more than the shares."""
        there, guessed = target.mean(axis=0), train.mean(axis=0)
        each = 2 * there * guessed / np.maximum(there + guessed, FLOOR)
        micro = float(2 * (there * guessed).sum() / max(float((there + guessed).sum()), FLOOR))
        shares = np.tile(guessed, (len(target), 1))
        random = {
            "micro_f1": micro,
            "macro_f1": float(each.mean()),
            "log_loss": labels_loss(shares, target),
        }
        return {"random": random}

    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        """Return the labels of rows of training, and the shares, which say what most rows have."""
        return {
            "random": base.drawn(train, rows).astype(np.float32),
            "zero_rule": np.tile(train.mean(axis=0), (rows, 1)),
        }

    def details(self, raw: Array, target: Array, schema: Schema) -> Json:
        there = said(raw)
        right = (there & (target == 1)).sum(axis=0)
        return {
            "per_class": nominal.scored(
                right, target.sum(axis=0), there.sum(axis=0), names=schema.classes
            )
        }

    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        return np.array(
            [_apart(set(one), set(other)) for one, other in zip(answers, labels, strict=True)]
        )

    def expected_loss(self, raw: Array, schema: Schema) -> Array:
        """Return the labels that are expected to be wrong, by those that are said or expected."""
        wrong = np.minimum(raw, 1 - raw).sum(axis=1)
        found: Array = wrong / np.maximum(np.where(said(raw), 1, raw).sum(axis=1), FLOOR)
        return found.clip(0, 1)

    def uncertainty(self, raw: Array, schema: Schema) -> Array:
        """Return the sum of the labels' entropies."""
        found: Array = (nominal.entropy(raw) + nominal.entropy(1 - raw)).sum(axis=1)
        return found

    def differ(self, one: Sequence[Any], other: Sequence[Any], schema: Schema) -> Array:
        return self.loss(one, other, schema)

    def compared(self, reference: Array, window: Array, schema: Schema) -> Iterator[Compared]:
        places = range(reference.shape[1])
        yield from nominal.probabilities(reference, window, names=schema.classes, places=places)

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        return base.refused_names(claimed["classes"], key="classes", most=MOST_CLAIMED)


def _names(value: Any) -> list[str] | None:
    if is_missing(value):
        return None
    several = value.tolist() if isinstance(value, np.ndarray) else value
    names = several if isinstance(several, list | tuple) else [several]
    return sorted({name for name in (word(one) for one in names) if name is not None})


def _apart(one: set[str], other: set[str]) -> float:
    return 1 - len(one & other) / len(one | other) if one | other else 0.0
