"""Predicted labels against true ones, and two models' answers against each other, as the store
keeps them: one JSON list a request, with an entry for each row.

A class is right or wrong: its loss is 0 or 1. Answers of any other task are measured by it, from 0
to 1.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fairway.model import labels
from fairway.monitoring.eventstore import answers as answered
from fairway.monitoring.eventstore import gauges

# characters of a feature's value that a slice is known by: a rollout's state holds them
LONGEST_SLICE = 64
MEASURED = "measured"  # the verdict of the store's SQL on a pair that its task must look at
Lost = tuple[int, float]  # rows whose label is known, and the sum of their losses


def compare(predicted: str, truth: str, task: str | None) -> Lost:
    """Return the rows whose label is known and what was lost on them; no row where the two differ
    in length."""
    if task is None and predicted == truth:
        return len(json.loads(predicted)) if "," in predicted else 1, 0
    known = [loss for loss in _losses(predicted, truth, task) if loss is not None]
    return len(known), sum(known)


def by_class(predicted: str, truth: str, task: str | None) -> list[tuple[str | None, float]]:
    """Return of each row whose label is known its true class, None where answers are no classes, and
    its loss; no row where the two differ in length."""
    losses = _losses(predicted, truth, task)
    return [
        (label if task is None else None, loss)
        for label, loss in zip(json.loads(truth), losses, strict=False)
        if loss is not None
    ]


def sliced(
    predicted: str, truth: str, inputs: str | None, *, by: str | None, task: str | None
) -> dict[str | None, Lost]:
    """Return `compare` for each value of the feature; all of it under None where the value is not
    known."""
    column = json.loads(inputs).get(by) if inputs is not None and by is not None else None
    if column is None:
        return {None: compare(predicted, truth, task)}
    losses = _losses(predicted, truth, task)
    if len(losses) != len(column):
        return {None: compare(predicted, truth, task)}
    found: dict[str | None, Lost] = {}
    for loss, value in zip(losses, column, strict=True):
        if loss is not None:
            of = str(value)[:LONGEST_SLICE]
            known, lost = found.get(of, (0, 0))
            found[of] = known + 1, lost + loss
    return found


def pairs(
    found: Iterable[tuple[str, str | None, str | None, str | None, str | None, int]],
) -> answered.Pairs:
    """Return the pairs as the store's SQL gives them: what becomes of a pair, of those that are
    measured the tasks and the answers of both halves (stable's first), and how many are alike."""
    counts, apart = Counter[str](), list[float]()
    for verdict, task, other_task, one, other, number in found:
        distance = _apart(task, other_task, one, other) if verdict == MEASURED else None
        if distance is not None:
            apart.append(distance * number)
        elif verdict == MEASURED:
            verdict = "incomparable"
        counts[verdict] += number
    return answered.Pairs(
        compared=counts["agree"] + counts["disagree"] + counts[MEASURED],
        measured=counts[MEASURED],
        disagreements=counts["disagree"] + (math.fsum(apart) if apart else 0),
        candidate_failures=counts["candidate"],
        stable_failures=counts["stable"],
        both_failed=counts["both"],
        mismatched_inputs=counts["mismatched"],
        incomparable=counts["incomparable"],
    )


def first(text: str | None) -> str | None:
    """Return the label of the first row where it is a word; numbers and lists are too many to be
    counted each."""
    found = json.loads(text) if text else []
    return found[0] if found and isinstance(found[0], str) else None


def _losses(predicted: str, truth: str, task: str | None) -> list[float | None]:
    """Return the loss of each row, None where its label is not known; no row where the two differ
    in length, or cannot be measured."""
    given, true = json.loads(predicted), json.loads(truth)
    if len(given) != len(true):
        return []
    if task is None:
        return [
            int(not labels.alike(label, answer)) if isinstance(label, str) else None
            for answer, label in zip(given, true, strict=True)
        ]
    return _measured(gauges.read(task), given, true)


def _measured(gauge: gauges.Gauge | None, given: list[Any], true: list[Any]) -> list[float | None]:
    if gauge is None:
        return []
    read = (_as_answered(gauge.label(one), answer) for one, answer in zip(true, given, strict=True))
    known = {place: label for place, label in enumerate(read) if label is not None}
    if not known:
        return []
    losses = gauge.losses([given[place] for place in known], list(known.values()))
    by_place = dict(zip(known, losses, strict=True)) if losses is not None else {}
    return [by_place.get(place) for place in range(len(given))]


def _as_answered(label: Any, answer: Any) -> Any:
    """Return the label with words that are another way to write one of the answer's as the answer
    has them."""
    if isinstance(label, list) and isinstance(answer, list):
        known = {labels.spelled(name): name for name in answer}
        return [known.get(labels.spelled(one), one) for one in label]
    if isinstance(label, str) and isinstance(answer, str):
        return answer if labels.alike(label, answer) else label
    return label


def _apart(
    task: str | None, other_task: str | None, one: str | None, other: str | None
) -> float | None:
    """Return how far the answers of a pair are apart, by stable's gauge; None where that cannot be
    said."""
    if (
        task is None
        or other_task is None
        or one is None
        or other is None
        or gauges.name(task) != gauges.name(other_task)
    ):
        return None
    gauge = gauges.read(task)
    return gauge.apart(json.loads(one), json.loads(other)) if gauge is not None else None
