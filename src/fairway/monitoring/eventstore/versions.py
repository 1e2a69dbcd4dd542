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
from fairway.monitoring.eventstore import cloudevents, databases, gauges, stored_json, vocabulary

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


def readable(
    connection: databases.Connection,
    labels: Sequence[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> list[cloudevents.EventRow]:
    """Return the labels with each class as the model names it; raises DataError for one that its
    answer's task cannot read.

    One whose answer has not come yet is kept as it is, and counts where it can be read then.
    """
    served = dict(_asked(connection, labels, statement=sql.SERVED_TASKS))
    known = {}
    for (namespace, deployment, _), (task, _, revision) in served.items():
        arm = namespace, deployment, revision
        if (arm, task) not in known:
            known[arm, task] = vocabulary.gauge(connection, arm, task, sql=sql)
    found = []
    for row in labels:
        answer = served.get((row.namespace, row.deployment, row.request_id))
        if answer is None:
            found.append(row)
            continue
        task, answers, revision = answer
        gauge = known[(row.namespace, row.deployment, revision), task]
        found.append(_read(row, gauge, is_class=task is None, answers=answers))
    return found


def _read(
    row: cloudevents.EventRow, gauge: gauges.Gauge | None, *, is_class: bool, answers: int
) -> cloudevents.EventRow:
    given = json.loads(row.labels or "[]")
    several = next((one for one in given if is_class and isinstance(one, list)), None)
    if several is not None:
        _refuse(row, several, "the name of one class for each row, or null where it is not known")
    if gauge is None:
        return row
    if len(given) != answers:
        _refuse(row, given, f"a list with {answers} entries, one for each row that was answered")
    meant = [gauge.label(one) for one in given]
    wrong = [
        one for one, label in zip(given, meant, strict=True) if one is not None and label is None
    ]
    if wrong:
        _refuse(row, wrong[0], f"{gauge.wanted()}, or null where it is not known")
    words = [
        label if isinstance(label, str | list) else one
        for one, label in zip(given, meant, strict=True)
    ]
    return row._replace(labels=stored_json.compact(words))


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
