"""Hierarchical classification: classes with parents, where a wrong class of the right branch costs
less."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairway import errors
from fairway.model.labels import read
from fairway.model.schema import Schema
from fairway.model.tasks import base, classification
from fairway.model.tasks.base import Array, Declared, Json, Scores

CONFIDENCE = 0.5  # probability that an answer has: below it the class's parent is answered
MOST_PARENTS = 10_000
DEEPEST = 100  # classes of a branch


class Hierarchical(classification.Classification):
    """As a classification, with `parents`: an answer is the class or, where that is not sure, one
    of its ancestors.

    An answer's loss is 1 less the hierarchical F of the two: twice the classes that are in both
    branches, by those in either (Kiritchenko, Matwin, Nock & Famili 2006, section 3).
    """

    name = "hierarchical"
    measured_by = (
        "hierarchical_f",
        "accuracy",
        "log_loss",
        "class_share",
        "calibration_error",
    )
    declares = ("classes", "parents")

    def suits(self, values: Array, declared: Declared) -> str | None:
        return f"{len(declared.parents)} classes have a parent" if declared.parents else None

    def learn(self, values: Array, declared: Declared) -> Json:
        classes = super().learn(values, declared)["classes"]
        unrelated = [
            name for name in declared.parents if name not in {*classes, *declared.parents.values()}
        ]
        if unrelated:
            raise errors.DataError(
                f"data.parents names {unrelated[0]!r}, which is no class of {declared.target} and no parent: "
                f"there are {', '.join(classes[:20])}"
            )
        return {"classes": classes, "facts": _facts(declared.parents, where="data.parents")}

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        parents = entry.get("parents")
        if not isinstance(parents, Mapping) or not parents:
            raise errors.PackageError(
                f"{where}: parents is {parents!r}: wanted a map from classes to their parents"
            )
        words = {str(child): str(parent) for child, parent in parents.items()}
        return super().declare(entry, where=where) | {
            "facts": _facts(words, where=f"{where}: parents")
        }

    def answers(self, raw: Array, schema: Schema) -> list[Any]:
        """Return the likeliest class, or its nearest ancestor that is as likely as `CONFIDENCE`, or
        its first one."""
        # those of a champion alone
        classes = [*schema.classes, *[""] * (raw.shape[1] - len(schema.classes))]
        above = _above(schema)
        return [_sure(row, classes, above) for row in raw.astype(np.float64)]

    def expected(self, train: Array, target: Array, schema: Schema) -> dict[str, Scores]:
        rules = super().expected(train, target, schema)
        shares, counts = (
            np.bincount(part, minlength=len(schema.classes)) / len(part) for part in (train, target)
        )
        table = np.array(
            [
                self.loss([name] * len(schema.classes), schema.classes, schema)
                for name in schema.classes
            ]
        )
        reached = {
            "random": 1 - shares @ table @ counts,
            "zero_rule": 1 - table[shares.argmax()] @ counts,
        }
        return {
            rule: {
                "hierarchical_f": float(reached[rule]),
                **{name: scores[name] for name in ("accuracy", "log_loss")},
            }
            for rule, scores in rules.items()
        }

    def ruled(self, train: Array, *, rows: int, schema: Schema) -> dict[str, Array]:
        """Return the same, but sure of the most frequent class: its parent is another answer."""
        answered = super().ruled(train, rows=rows, schema=schema)
        sure = np.eye(len(schema.classes), dtype=np.float32)
        return answered | {"zero_rule": sure[answered["zero_rule"].argmax(axis=1)]}

    def label(self, value: Any, schema: Schema) -> Any:
        found = super().label(value, schema)
        if found is None or schema.classes:
            return found
        parents = schema.facts["parents"]
        if found in parents:  # as nearly all are: no list of all classes is made for them
            return found
        return read(found, dict.fromkeys([*parents, *parents.values()])) or found

    def gauge(self, schema: Schema) -> Json:
        return {"parents": dict(schema.facts["parents"])}

    def loss(self, answers: Sequence[Any], labels: Sequence[Any], schema: Schema) -> Array:
        parents = schema.facts["parents"]
        return np.array(
            [_apart(one, other, parents) for one, other in zip(answers, labels, strict=True)]
        )

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        parents = (claimed.get("facts") or {}).get("parents")
        if not isinstance(parents, Mapping) or not 1 <= len(parents) <= MOST_PARENTS:
            return (
                "facts: parents",
                parents,
                f"an object of 1 to {MOST_PARENTS} classes and their parents",
            )
        for names in ([*parents], [*dict.fromkeys(map(str, parents.values()))]):
            refused = base.refused_names(names, key="facts: parents", most=MOST_PARENTS)
            if refused is not None:
                return refused
        round_trip = _circle(parents)
        if round_trip is not None:
            return (
                "facts: parents",
                round_trip,
                f"no class among its ancestors, fewer than {DEEPEST} of them",
            )
        return super().refuse(claimed)


def branch(name: str, parents: Mapping[str, str]) -> list[str]:
    """Return the class and its ancestors, from the nearest on."""
    found = [name]
    while found[-1] in parents and len(found) <= DEEPEST:  # of an event the parents may be anything
        found.append(parents[found[-1]])
    return found


def _facts(parents: Mapping[str, str], *, where: str) -> Json:
    round_trip = _circle(parents)
    if round_trip is not None:
        raise errors.DataError(
            f"{where}: {round_trip!r} is among its own ancestors, or has {DEEPEST} of them: wanted fewer, and no circle"
        )
    return {"parents": dict(parents)}


def _circle(parents: Mapping[str, str]) -> str | None:
    """Return a class whose branch does not end, or not soon enough; None where there is none."""
    return next((name for name in parents if len(branch(name, parents)) > DEEPEST), None)


def _above(schema: Schema) -> dict[str, list[int]]:
    """Return the places of the classes below each ancestor, and its own where it is a class too."""
    found: dict[str, list[int]] = {}
    inner = set(schema.facts["parents"].values())
    for place, name in enumerate(schema.classes):
        for ancestor in branch(name, schema.facts["parents"]):
            if ancestor in inner:
                found.setdefault(ancestor, []).append(place)
    return found


def _sure(row: Array, classes: Sequence[str], above: Mapping[str, Sequence[int]]) -> str:
    likeliest = int(row.argmax())
    if row[likeliest] >= CONFIDENCE:
        return classes[likeliest]
    ancestors = [name for name, below in above.items() if likeliest in below]
    ordered = sorted(ancestors, key=lambda name: len(above[name]))
    sure = [name for name in ordered if row[list(above[name])].sum() >= CONFIDENCE]
    return next(iter(sure), ordered[-1] if ordered else classes[likeliest])


def _apart(one: str, other: str, parents: Mapping[str, str]) -> float:
    if one == other:
        return 0.0
    ours, theirs = set(branch(one, parents)), set(branch(other, parents))
    return 1 - 2 * len(ours & theirs) / (len(ours) + len(theirs))
