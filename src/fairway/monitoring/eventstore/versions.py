"""The labels of one request: what it was called first, and what it was called since. The newest counts, all are kept.

A label that says what the newest one says is that label, sent again. Another one is a correction, a version of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from fairway.monitoring.eventstore import cloudevents, databases

Key = tuple[str, str, str]  # namespace, deployment, request


def numbered(
    connection: databases.Connection, rows: Sequence[cloudevents.EventRow], *, sql: databases.Dialect
) -> list[tuple[int, cloudevents.EventRow]]:
    """Return the rows with their versions (0 of all but corrections), without labels that say nothing new."""
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
    connection: databases.Connection, rows: Iterable[cloudevents.EventRow], *, sql: databases.Dialect
) -> int:
    """Return how many labels and outcomes are of requests that no server has told of."""
    late = [row for row in rows if row.type != "prediction"]
    answered = {key for key, _ in _asked(connection, late, statement=sql.ANSWERED)}
    return sum((row.namespace, row.deployment, row.request_id) not in answered for row in late)


def _newest(
    connection: databases.Connection, rows: Iterable[cloudevents.EventRow], *, sql: databases.Dialect
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
