"""Features that a server keeps to itself: on the wire, on its disk, in the store."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from fairway import errors
from fairway.config import sections
from fairway.monitoring import windows
from fairway.monitoring.eventstore import cloudevents, places
from fairway.serving import eventlog
from tests.monitoring import processes
from tests.serving import support

SECRET = 4711.25
SETTINGS = sections.Events.model_validate({"interval": "10ms", "redact": ["age"]})
ORIGIN = eventlog.Origin(namespace="default", deployment="income", revision="aaa")
RECORD = eventlog.Record(
    request_id="r1",
    unit=None,
    role="stable",
    status=200,
    at=1.5,
    seconds=0.001,
    digest="0123456789abcdef",
    rows=2,
    inputs={"age": np.array([SECRET, np.nan]), "hours": np.array([1.0, 2.0])},
    labels=["no", "yes"],
)


@pytest.fixture
def receiver() -> Iterator[support.Receiver]:
    receiver = support.Receiver()
    yield receiver
    receiver.close()


def log_to(url: str, folder: Path) -> eventlog.EventLog:
    return eventlog.EventLog(SETTINGS, origin=ORIGIN, collector=url, folder=folder)


def test_the_values_are_neither_sent_nor_spooled_and_no_digest_tells_them(tmp_path: Path) -> None:
    away = log_to("http://127.0.0.1:1", tmp_path)
    away.start()
    away.append(RECORD)
    away.close()
    (spooled,) = [line for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    assert b"4711" not in spooled
    said = orjson.loads(spooled)["data"]
    assert said["inputs"] == {"hours": [1.0, 2.0]}
    assert (said["redacted"], said["inputDigest"]) == (["age"], None)


def test_what_reaches_another_machine_has_no_value_of_it(
    receiver: support.Receiver, tmp_path: Path
) -> None:
    receiver.open()
    log = log_to(receiver.url, tmp_path)
    log.start()
    log.append(RECORD)
    log.close()
    (body,) = receiver.bodies
    assert b'"hours":[1.0,2.0]' in body
    assert b"4711" not in body


def test_the_store_says_redacted_and_not_missing(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with processes.collector(path) as running:
        log = log_to(running.url, tmp_path / "spool")
        log.start()
        log.append(RECORD)
        log.close()
    store = places.opened(path)
    (served,) = store.history.window("income", revision="aaa", limit=1)
    assert served.inputs == {"hours": [1.0, 2.0], "age": None}
    assert windows.redacted(served) == {"age"}
    assert windows.redacted(None) is None
    store.close()


def test_what_is_not_sampled_names_nothing_redacted() -> None:
    line = eventlog.encode(RECORD, origin=ORIGIN, sample=0.0, redact=frozenset({"age"}))
    assert "redacted" not in orjson.loads(line)["data"]


def test_a_name_that_is_no_feature_keeps_the_server_from_starting() -> None:
    SETTINGS.need(["age", "hours"])
    with pytest.raises(errors.ConfigError, match=r"names 'age', which is no feature.*hours"):
        SETTINGS.need(["hours"])
    with pytest.raises(errors.ConfigError, match=r"wanted 'Age'$"):
        SETTINGS.need(["hours", "Age"])


def test_redacted_is_a_list_of_names() -> None:
    event = orjson.loads(eventlog.encode(RECORD, origin=ORIGIN, sample=1.0))
    event["data"]["redacted"] = "age"
    with pytest.raises(
        errors.DataError, match='redacted is "age": wanted a list of features\' names'
    ):
        cloudevents.parse(event)
