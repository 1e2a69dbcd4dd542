"""The classes of a revision, of which its answers are or are made: a server tells them now and then, so that a label
which names none of them is refused when it comes, and not counted as a mistake of the model."""

import dataclasses
import json
from collections.abc import Iterable

from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.monitoring.eventstore import cloudevents, databases, gauges

CLASSES = gauges.Gauge(tasks.named(tasks.USUAL), Schema(target="", features=()))
Arm = tuple[str, str, str]  # namespace, deployment, revision


def remember(
    connection: databases.Connection,
    rows: Iterable[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> None:
    """Keep the classes that the events came with, where they are not known yet."""
    told = {
        (row.namespace, row.deployment, row.revision): row.classes for row in rows if row.classes
    }
    for arm, classes in told.items():
        if _known(connection, arm, sql=sql) != classes:
            connection.execute(sql.SET_MARK, {"key": _key(arm), "value": classes})


def gauge(
    connection: databases.Connection, arm: Arm, task: str | None, *, sql: databases.Dialect
) -> gauges.Gauge | None:
    """Return what reads a label of this revision's answers, None where nothing is known of them."""
    classes = _known(connection, arm, sql=sql)
    found = gauges.read(task) if task is not None else CLASSES
    if found is None or classes is None:
        return None if task is None else found
    schema = dataclasses.replace(found.schema, classes=tuple(json.loads(classes)))
    return dataclasses.replace(found, schema=schema)


def _known(connection: databases.Connection, arm: Arm, *, sql: databases.Dialect) -> str | None:
    row = connection.execute(sql.MARK, {"key": _key(arm)}).fetchone()
    return str(row[0]) if row else None


def _key(arm: Arm) -> str:
    return f"classes/{json.dumps(arm)}"
