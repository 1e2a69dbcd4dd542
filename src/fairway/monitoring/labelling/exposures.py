"""What a deployment showed, and the clicks and labels that came of it, read from the event store."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.model.tasks import ranking
from fairway.monitoring.eventstore import answers
from fairway.monitoring.labelling import feedback, samples


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which of a request's rows are shown, and what names the item of each."""

    item: str | None  # feature; None: the answers are the items, where they are words
    first: int | None  # rows of a request that are seen, those of the highest scores; None: all


@dataclass(frozen=True, kw_only=True)
class Impressions:
    """Requests in the order in which they came."""

    items: tuple[tuple[Hashable, ...], ...]  # of each request, none where it is not known
    clicks: tuple[tuple[Sequence[float], Sequence[float | None]], ...]  # of rankings with labels
    answers: tuple[tuple[str, bool], ...]  # whether the answer has a label, of words


def read(past: samples.Past, asked: samples.DrawnFrom, chosen: Chosen) -> Impressions:
    """Return what was shown; raises DataError where nothing was, or no item has a name."""
    found = samples.answered(past, asked)[::-1]
    _need(chosen.item, found[-1])
    ranks = isinstance(tasks.of(asked.schema), ranking.Ranking)
    if chosen.first is not None and not ranks:
        raise errors.DataError(
            f"--first is {chosen.first}, and {asked.meant.deployment} answers no rankings but a "
            f"{asked.schema.task}: leave it out; every row of a request is seen"
        )
    labels = past.labels(
        asked.meant.deployment, [one.request_id for one in found], namespace=asked.namespace
    )
    return Impressions(
        items=tuple(_items(one, chosen, ranks=ranks) for one in found),
        clicks=tuple(
            (one.labels or [], _relevance(labels[one.request_id], asked.schema))
            for one in found
            if ranks and len(labels.get(one.request_id, ())) == one.rows
        ),
        answers=tuple(
            (answer, one.request_id in labels) for one in found for answer in set(_words(one))
        ),
    )


def _need(item: str | None, prediction: answers.Prediction) -> None:
    if item is not None and prediction.inputs.get(item) is None:
        known = [name for name, values in prediction.inputs.items() if values is not None]
        raise errors.DataError(
            f"--item is {errors.shortened(repr(item))}: wanted a logged input of the model: "
            f"{', '.join(known[:20])}"
        )


def _items(prediction: answers.Prediction, chosen: Chosen, *, ranks: bool) -> tuple[Hashable, ...]:
    if chosen.item is None:
        return tuple(_words(prediction))
    values = prediction.inputs.get(chosen.item) or []
    if len(values) != prediction.rows:
        return ()
    scores = prediction.labels or []
    rows = feedback.order(scores) if ranks else range(len(values))
    return tuple(str(values[row]) for row in rows[: chosen.first])


def _words(prediction: answers.Prediction) -> list[str]:
    """Return the classes that were answered; several of a row are each one."""
    found: list[str] = []
    for answer in prediction.labels or []:
        found += [
            one
            for one in (answer if isinstance(answer, list) else [answer])
            if isinstance(one, str)
        ]
    return found


def _relevance(labels: Sequence[Any], schema: Schema) -> list[float | None]:
    return [tasks.of(schema).label(one, schema) for one in labels]
