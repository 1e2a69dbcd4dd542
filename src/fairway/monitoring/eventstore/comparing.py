"""Predicted labels against true ones, as the store keeps both: one JSON list a request, with a label for each row."""

import json

from fairway.model import labels

LONGEST_SLICE = 64  # characters of a feature's value that a slice is known by: a rollout's state holds them


def compare(predicted: str, truth: str) -> tuple[int, int]:
    """Return the rows whose label is known and how many of them were wrong; no row where the two differ in length."""
    if predicted == truth:
        return len(json.loads(predicted)) if "," in predicted else 1, 0
    answers, truths = json.loads(predicted), json.loads(truth)
    if len(answers) != len(truths):
        return 0, 0
    known = [(a, t) for a, t in zip(answers, truths, strict=True) if t is not None]
    return len(known), sum(not labels.alike(t, a) for a, t in known)


def sliced(predicted: str, truth: str, inputs: str | None, *, by: str | None) -> dict[str | None, tuple[int, int]]:
    """Return `compare` for each value of the feature; all of it under None where the value is not known."""
    column = json.loads(inputs).get(by) if inputs is not None and by is not None else None
    if column is None:
        return {None: compare(predicted, truth)}
    answers, truths = json.loads(predicted), json.loads(truth)
    if not len(answers) == len(truths) == len(column):
        return {None: compare(predicted, truth)}
    found: dict[str | None, tuple[int, int]] = {}
    for answer, true, value in zip(answers, truths, column, strict=True):
        if true is not None:
            of = str(value)[:LONGEST_SLICE]
            known, wrong = found.get(of, (0, 0))
            found[of] = known + 1, wrong + (not labels.alike(true, answer))
    return found


def first(text: str | None) -> str | None:
    """Return the label of the first row."""
    found = json.loads(text) if text else []
    return str(found[0]) if found else None
