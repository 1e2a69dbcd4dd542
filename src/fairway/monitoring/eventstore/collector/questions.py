"""What a rollout asks of the collector: each question is one of the event store, with its
parameters in the query."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import answers, archive, cloudevents, namespaced

Answer = dict[str, Any]
Question = Callable[[archive.EventStore, Mapping[str, str]], Answer]


def answered(opened: archive.EventStore, query: Mapping[str, str], *, ask: Question) -> Answer:
    """Return the answer with the identity of the store that its cursor is of; raise StoreReplaced
    where the query's cursors are another's."""
    with opened.reading():
        position = opened.position()
        cursors = [_number(query, key) for key in ("after", "until") if key in query]
        namespaced.known(position, identity=query.get("store", ""), cursors=cursors)
        return {"store": position.store, **ask(opened, query)}


def _cursor(opened: archive.EventStore, _: Mapping[str, str]) -> Answer:
    return {"cursor": opened.cursor()}


def _pairs(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    stable, candidate = _name(query, "stable"), _name(query, "candidate")
    cursor, pairs = opened.pairs(
        _name(query, "deployment"),
        namespace=_name(query, "namespace"),
        stable=stable,
        candidate=candidate,
        after=_number(query, "after"),
    )
    return {"cursor": cursor, "pairs": asdict(pairs)}


def _labelled(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    by, gauge = (_name(query, key) if key in query else None for key in ("by", "gauge"))
    found = opened.labelled(_name(query, "deployment"), **_span(query), by=by, gauge=gauge)
    return _rows(answers.LabelledAnswer, found)


def _outcomes(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    return _rows(answers.Outcome, opened.outcomes(_name(query, "deployment"), **_span(query)))


def _exposure(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    return _rows(answers.Exposure, opened.exposure(_name(query, "deployment"), **_span(query)))


def _span(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the namespace, and from which event to which is asked."""
    return {
        "namespace": _name(query, "namespace"),
        "after": _number(query, "after"),
        "until": _number(query, "until") if "until" in query else None,
    }


def _rows(kind: Any, answer: tuple[int, Sequence[tuple[Any, ...]]]) -> Answer:
    cursor, found = answer
    return {"cursor": cursor, "fields": kind._fields, "rows": [tuple(row) for row in found]}


QUESTIONS: dict[str, Question] = {
    "cursor": _cursor,
    "pairs": _pairs,
    "labelled": _labelled,
    "outcomes": _outcomes,
    "exposure": _exposure,
}


def _name(query: Mapping[str, str], key: str) -> str:
    value = query.get(key, "")
    if not 0 < len(value) <= cloudevents.LONGEST_NAME or not cloudevents.storable(value):
        raise errors.DataError(
            f"the query's {key} is {cloudevents.shown(value or None)}: wanted a name of 1 to "
            f"{cloudevents.LONGEST_NAME} characters"
        )
    return value


def _number(query: Mapping[str, str], key: str) -> int:
    text = query.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise errors.DataError(
            f"the query's {key} is {cloudevents.shown(text or None)}: wanted the cursor of the last answer, 0 for "
            f"the first"
        )
    return int(text)
