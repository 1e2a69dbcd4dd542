"""The labels of one request: what it was called first, and what it was called since. The newest
counts, all are kept.

A label that says what the newest one says is that label, sent again. Another one is a correction, a
version of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NoReturn

from fairway import errors
from fairway.monitoring.eventstore import cloudevents, databases, gauges

Key = tuple[str, str, str]  # namespace, deployment, request


def numbered(
    connection: databases.Connection,
    rows: Sequence[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> list[tuple[int, cloudevents.EventRow]]:
    """Return the rows with their versions (0 of all but corrections), without labels that say
    nothing new."""
    newest = dict(_newest(connection, rows, sql=sql))
    found = []
    for row in rows:
        version = 0
        if row.type == "label":
            key = row.namespace, row.deployment, row.request_id
            before = newest.get(key)
            if before is not None and before[1] == row.labels:
                continue
            version = before[0] + 1 if before is not None else 0
            newest[key] = version, row.labels
        found.append((version, row))
    return found


def unanswered(
    connection: databases.Connection,
    rows: Iterable[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> int:
    """Return how many labels and outcomes are of requests that no server has told of."""
    late = [row for row in rows if row.type != "prediction"]
    answered = {key for key, _ in _asked(connection, late, statement=sql.ANSWERED)}
    return sum((row.namespace, row.deployment, row.request_id) not in answered for row in late)


def need_readable(
    connection: databases.Connection,
    rows: Iterable[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> None:
    """Raise DataError for a label that its answer's task cannot read.

    One whose answer has not come yet is kept as it is, and counts where it can be read then.
    """
    labels = [row for row in rows if row.type == "label"]
    served = dict(_asked(connection, labels, statement=sql.SERVED_TASKS))
    for row in labels:
        known = served.get((row.namespace, row.deployment, row.request_id))
        if known is not None:
            _need_readable(row, task=known[0], answers=known[1])


def _need_readable(row: cloudevents.EventRow, *, task: str | None, answers: int) -> None:
    given = json.loads(row.labels or "[]")
    gauge = gauges.read(task) if task is not None else None
    if task is not None and gauge is None:
        return
    if gauge is not None and len(given) != answers:
        _refuse(row, given, f"a list with {answers} entries, one for each row that was answered")
    for one in given:
        if gauge is not None and one is not None and gauge.label(one) is None:
            _refuse(row, one, f"{gauge.wanted()}, or null where it is not known")
        if gauge is None and isinstance(one, list):
            _refuse(row, one, "the name of one class for each row, or null where it is not known")


def _refuse(row: cloudevents.EventRow, seen: Any, wanted: str) -> NoReturn:
    raise errors.DataError(
        f"the label of request {row.request_id} is {cloudevents.shown(seen)}: wanted {wanted}; nothing of this batch "
        "was stored"
    )


def _newest(
    connection: databases.Connection,
    rows: Iterable[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> Iterator[tuple[Key, tuple[int, str | None]]]:
    labels = [row for row in rows if row.type == "label"]
    for key, (version, text) in _asked(connection, labels, statement=sql.NEWEST_LABELS):
        yield key, (int(version), text)


def _asked(
    connection: databases.Connection, rows: Iterable[cloudevents.EventRow], *, statement: str
) -> Iterator[tuple[Key, list[Any]]]:
    """Give what the statement says of the rows' requests, one deployment after the other."""
    asked = sorted({(row.namespace, row.deployment, row.request_id) for row in rows})
    for (namespace, deployment), some in groupby(asked, key=lambda key: key[:2]):
        values: Mapping[str, object] = {
            "namespace": namespace,
            "deployment": deployment,
            "requests": json.dumps([request for _, _, request in some]),
        }
        for request, *found in connection.execute(statement, values).fetchall():
            yield (namespace, deployment, request), found
