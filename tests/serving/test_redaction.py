"""Features that a server keeps to itself: on the wire, on its disk, in the store."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from fairway import errors
from fairway.config import sections
from fairway.monitoring import windows
from fairway.monitoring.eventstore import cloudevents, places
from fairway.serving import eventlog
from tests.monitoring import made, processes
from tests.monitoring import test_payloads as others
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


# -- the ways of an event, to every disk and every answer ------------------------------------------

HIDDEN = "?redact=age"
ASKED = {"instances": [{"age": SECRET, "hours": 1.0}]}


def served(url: str, folder: Path, *, write_ahead: bool = False) -> str:
    """Log an answer while the collector is away, and deliver what was spooled once it is back."""
    settings = SETTINGS.model_copy(update={"write_ahead": write_ahead})
    for at in ("http://127.0.0.1:1", url):
        log = eventlog.EventLog(settings, origin=ORIGIN, collector=at, folder=folder)
        log.start()
        log.append(RECORD)
        log.close()
    return ""


def told(url: str, name: str, event: dict[str, Any]) -> str:
    return httpx.post(f"{url}/v1/{name}", json=[event]).text


def logged(url: str, body: Any, headers: dict[str, str], *, answered: bool = False) -> str:
    """Post what a logger posts of a request, and of its answer; return what the collector said."""
    given = {name: value for name, value in headers.items() if name != "Host"}
    asked = httpx.post(f"{url}/v1/payloads{HIDDEN}", json=body, headers=given)
    if answered:
        given["Ce-Type"] = given["Ce-Type"].replace("request", "response")
        httpx.post(f"{url}/v1/payloads{HIDDEN}", json={"predictions": [1]}, headers=given)
    return asked.text


def of_tensor(values: list[float]) -> dict[str, Any]:
    tensor = {"name": "age", "shape": [len(values)], "datatype": "FP64", "data": values}
    return {"inputs": [tensor]}


ENCODED = base64.b64encode(orjson.dumps(ASKED)).decode()
STRUCTURED = {"data": None, "data_base64": ENCODED}
BOTH = {"inputs": {"age": [SECRET], "hours": [1.0]}, "redacted": ["age"]}
WAYS: dict[str, Callable[[str, Path], str]] = {
    "spooled and sent again": served,
    "written ahead": lambda url, folder: served(url, folder, write_ahead=True),
    "a server that sends what it redacts": lambda url, _: told(
        url, "events", made.prediction("both", **BOTH)
    ),
    "a half of KServe's that waits": lambda url, _: logged(url, ASKED, others.KSERVE),
    "both halves": lambda url, _: logged(
        url, of_tensor([SECRET]), {**others.KSERVE, "Ce-Id": "both"}, answered=True
    ),
    "a half of Seldon's": lambda url, _: logged(
        url, {"data": {"names": ["age"], "ndarray": [[SECRET]]}}, others.SELDON
    ),
    "in a structured event": lambda url, _: told(
        url,
        f"payloads{HIDDEN}",
        others.structured({**others.KSERVE, "Ce-Id": "structured"}, None) | STRUCTURED,
    ),
    "a column of another name": lambda url, _: logged(
        url, {"instances": [[SECRET]]}, {**others.KSERVE, "Ce-Id": "unnamed"}
    ),
    "a shape that is none": lambda url, _: logged(
        url, {"inputs": [{"name": "age", "shape": [9], "data": [SECRET]}]}, others.KSERVE
    ),
    "rows that are none": lambda url, _: logged(url, {"instances": str(SECRET)}, others.KSERVE),
    "no JSON": lambda url, _: told(
        url, f"payloads{HIDDEN}", others.structured(others.KSERVE, f"{{{SECRET}")
    ),
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("redacted")
    with processes.collector(folder / "events.db") as running:
        yield running.url, folder


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_way_of_an_event_leaves_a_redacted_value_on_a_disk_or_in_an_answer(
    way: Callable[[str, Path], str], collected: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = collected
    assert "4711" not in way(url, tmp_path)
    left = [file for place in (folder, tmp_path) for file in place.rglob("*") if file.is_file()]
    assert left
    assert not [file for file in left if b"4711" in file.read_bytes()]


def test_what_other_servers_were_asked_is_kept_but_for_what_is_redacted(
    collected: tuple[str, Path],
) -> None:
    url, folder = collected
    headers = {**others.KSERVE, "Ce-Id": "kept", "Ce-Inferenceservicename": "kept"}
    assert '"accepted":1' in logged(url, ASKED, headers, answered=True)
    (found,) = others.window(folder / "events.db", "kept", revision="default")
    assert found.inputs == {"age": None, "hours": [1.0]}
    assert windows.redacted(found) == {"age"}
