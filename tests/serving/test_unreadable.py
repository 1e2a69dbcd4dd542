"""What becomes of a value that cannot be read: by the user's choice the request is refused, or the
value is missing, counted and told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fairway.config import sections
from fairway.serving import batch, costs, meters, protocol, seldon_message
from tests.fuzz import targets
from tests.serving import support


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(support.packaged(tmp_path_factory.mktemp("package")).path)


@pytest.fixture(scope="module")
def strict(package) -> Iterator[targets.Application]:
    server = targets.Application(package)
    yield server
    server.close()


@pytest.fixture(scope="module")
def lenient(package) -> Iterator[targets.Application]:
    server = targets.Application(package, serving=sections.Serving(unreadable="missing"))
    yield server
    server.close()


def ask(server: targets.Application, *columns: list[Any]) -> tuple[int, Any]:
    status, body = server.ask(orjson.dumps(support.tensors(*columns)))
    return status, orjson.loads(body)


def counted(feature: str) -> float:
    origin = targets.ORIGIN
    labels = (origin.namespace, origin.deployment, origin.revision, "shadow", feature)
    samples = meters.UNREADABLE.labels(*labels).collect()[0].samples
    return next(one.value for one in samples if one.name.endswith("_total"))


ROWS = ([20, 30, 40], [40, "forty", None], ["state", {}, "private"])


def test_a_value_that_cannot_be_read_refuses_the_request_by_default(strict):
    status, told = ask(strict, *ROWS)
    assert (status, told["error"]) == (
        400,
        "input tensor 'hours' holds 'forty' in row 1: wanted a finite number",
    )


def test_it_is_missing_counted_and_told_where_the_user_says_so(lenient):
    before = counted("hours"), counted("sector")
    status, told = ask(lenient, *ROWS)
    assert (status, told["parameters"]["unreadable"]) == (200, {"hours": 1, "sector": 1})
    assert (counted("hours"), counted("sector")) == (before[0] + 1, before[1] + 1)
    _, known = ask(lenient, ROWS[0], [40, None, None], ["state", "private", "private"])
    assert told["outputs"] == known["outputs"]
    assert "unreadable" not in known["parameters"]


def test_a_missing_value_where_training_had_none_counts_too(lenient, strict):
    columns = ([20], [40], [None])
    assert ask(strict, *columns)[0] == 400
    assert ask(lenient, *columns)[1]["parameters"]["unreadable"] == {"sector": 1}


def test_a_model_that_cannot_do_without_the_value_is_not_at_fault(lenient):
    """Nothing is put in the place of a missing age: the graph answers NaN."""
    status, told = ask(lenient, ["old"], [40], ["state"])
    assert status == 400
    assert "no finite answer where 'age' is missing, and it could not be read" in told["error"]


def test_a_batch_says_how_many_rows_it_could_not_read(lenient):
    rows = {"age": [20, 30], "hours": [40, "forty"], "sector": ["state", "private"]}
    (chunk,) = batch.predict(lenient.model, [rows], lenient=True)
    assert chunk.unreadable == {"hours": 1}


def test_seldons_messages_are_read_and_told_in_the_same_way(lenient):
    features = lenient.model.features
    sent = {"data": {"names": list(features), "ndarray": [["20", "forty", " state "]]}}
    message = seldon_message.read(orjson.dumps(sent), features=features)
    request = protocol.read(
        message.request, features=features, outputs=lenient.model.outputs, lenient=True
    )
    raw = lenient.model.predict(request.columns)
    said = {"columns": ["no", "yes"], "raw": raw, "beside": {}, "revision": None, "request_id": "r"}
    body = seldon_message.answer(message, b"{}", **said, unreadable=request.unreadable)
    assert orjson.loads(body)["meta"]["tags"] == {"unreadable": {"hours": 1}}


@pytest.mark.parametrize("unreadable", ["refuse", "missing"])
def test_no_text_costs_a_server_more_than_calibration_has_seen(package, unreadable):
    """As far as clocks tell on a shared machine: three times."""
    server = targets.Application(package, serving=sections.Serving(unreadable=unreadable))
    words = [f"{n:03x}%" for n in range(2_000)]
    for feature in server.model.features.values():
        entry = {"name": feature.name, "datatype": "BYTES", "shape": [len(words)], "data": words}
        body = orjson.dumps({"inputs": [entry]})
        (cost,) = costs.least(body, answer=server.app._tried)
        assert cost / len(body) < 3 * server.app.costs.dearest
    server.close()
