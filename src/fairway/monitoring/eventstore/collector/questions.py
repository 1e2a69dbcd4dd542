"""What a rollout and a monitor ask of the collector: each question is one of the event store, with its
parameters in the query."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import (
    answers,
    archive,
    batches,
    cloudevents,
    history,
    namespaced,
    stored_json,
)

PAGE_CHARACTERS = 4 << 20  # of payloads in one answer, beyond which the reader asks again
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


def _window(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    """Return the newest predictions that have `rows` rows together, fewer where they are large; none
    where all have fewer than `least`."""
    span: dict[str, Any] = {
        **_arm(query),
        "role": _name(query, "role") if "role" in query else "stable",
        "after": _number(query, "after"),
        "before": _number(query, "before") if "before" in query else None,
    }
    if "least" in query and not opened.history.has(**span, rows=_number(query, "least")):
        return {"records": [], "more": False}
    records = opened.history.records(**span)
    wanted, found, rows, size = _number(query, "rows"), [], 0, 0
    with contextlib.closing(records):
        for record in records:
            sent = [_bounded(value) for value in record]
            found.append(sent)
            rows += int(record[3])
            size += sum(len(value) for value in sent if isinstance(value, str))
            if rows >= wanted or size >= PAGE_CHARACTERS:
                return {"records": found, "more": rows < wanted}
    return {"records": found, "more": False}


def _bounded(value: Any) -> Any:
    return None if isinstance(value, str) and len(value) > history.LARGEST_PAYLOAD else value


def _last(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    return {"last": opened.history.last(**_arm(query), after=_number(query, "after"))}


def _first(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    return {"first": opened.history.first(**_arm(query))}


def _realised(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    found = opened.history.realised(**_arm(query), limit=_number(query, "rows"))
    return {"realised": asdict(found)}


def _learnable(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    owner = {key: _name(query, key) for key in ("deployment", "namespace")}
    return {"learnable": opened.history.learnable(**owner, limit=_number(query, "rows"))}


def _labels(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    """Return the newest labels of the requests that are named, and of a revision that is named what
    losses are measured by."""
    owner = {key: _name(query, key) for key in ("deployment", "namespace")}
    told = opened.history.labels(requests=_requests(query), **owner)
    gauge = opened.history.gauge(**_arm(query)) if "revision" in query else None
    return {"labels": told, "gauge": gauge}


def _requests(query: Mapping[str, str]) -> list[str]:
    """Return the identities of requests, a JSON list in the query."""
    try:
        found = json.loads(query.get("requests", ""))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise errors.DataError(
            f"the query's requests is {cloudevents.shown(query.get('requests'))}: wanted a JSON list of request ids"
        )
    return [one for one in found if stored_json.storable(one)]


def _mark(opened: archive.EventStore, query: Mapping[str, str]) -> Answer:
    owner = batches.About(
        namespace=_name(query, "namespace"), deployment=_name(query, "deployment")
    )
    key = owner.key(_name(query, "key"))
    return {"value": opened.conclusions.mark(key), "turn": batches.turn(opened, owner)}


def _arm(query: Mapping[str, str]) -> dict[str, Any]:
    return {key: _name(query, key) for key in ("deployment", "namespace", "revision")}


QUESTIONS: dict[str, Question] = {
    "cursor": _cursor,
    "pairs": _pairs,
    "labelled": _labelled,
    "outcomes": _outcomes,
    "exposure": _exposure,
}
# What a monitor asks: requests as users sent them, and what it concluded.
INPUTS: dict[str, Question] = {
    "window": _window,
    "last": _last,
    "first": _first,
    "realised": _realised,
    "learnable": _learnable,
    "labels": _labels,
    "mark": _mark,
}


def _name(query: Mapping[str, str], key: str) -> str:
    value = query.get(key, "")
    if not 0 < len(value) <= cloudevents.LONGEST_NAME or not stored_json.storable(value):
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
