"""Nothing that is sent is a server's error, takes long or stays in memory. The examples are the
same in every run."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz import mutations, targets
from tests.serving import support

SECONDS = 2.0  # of a processor for one answer: neighbours on the machine do not count
GROWTH = 64 << 20  # bytes, while thousands of bodies are answered
fixed = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
SHORT = (
    ("/v1/labels?deployment=income", [{"requestId": "r1", "label": ["cat", None]}]),
    ("/v1/outcomes?deployment=income", [{"requestId": "r1", "outcome": "purchase", "value": 2}]),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(support.packaged(tmp_path_factory.mktemp("package")).path)


@pytest.fixture(scope="module")
def server(package: Path) -> Iterator[targets.Application]:
    opened = targets.Application(package)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[targets.Collector]:
    opened = targets.Collector(tmp_path_factory.mktemp("collector"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    before = psutil.Process().memory_info().rss
    yield
    assert psutil.Process().memory_info().rss - before < GROWTH


def answered(status: int, *, since: float, among: set[int]) -> None:
    assert status in among
    assert time.process_time() - since < SECONDS


@given(sent=mutations.strategy(mutations.body, targets.good_requests()))
@settings(fixed, max_examples=250)
def test_no_request_is_the_server_s_error(server: targets.Application, sent: Any) -> None:
    began = time.process_time()
    answered(server.ask(*sent)[0], since=began, among={200, 400, 413, 415})


@given(sent=mutations.strategy(mutations.body, targets.good_messages()))
@settings(fixed, max_examples=150)
def test_no_message_of_seldon_s_is_the_server_s_error(
    server: targets.Application, sent: Any
) -> None:
    began = time.process_time()
    assert targets.read_message(sent[0], features=server.model.features) in ("read", "refused")
    assert time.process_time() - began < SECONDS


@given(sent=mutations.strategy(mutations.body, [targets.good_events()]))
@settings(fixed, max_examples=200)
def test_no_event_is_the_collector_s_error(collector: targets.Collector, sent: Any) -> None:
    began = time.process_time()
    answered(collector.ask("/v1/events", *sent), since=began, among={202, 400, 413, 415})


@pytest.mark.parametrize(("path", "items"), SHORT)
def test_no_label_and_no_outcome_is_the_collector_s_error(
    collector: targets.Collector, path: str, items: Any
) -> None:
    @given(sent=mutations.strategy(mutations.body, [items]))
    @settings(fixed, max_examples=60)
    def sends(sent: Any) -> None:
        began = time.process_time()
        answered(collector.ask(path, *sent), since=began, among={202, 400, 413, 415})

    sends()


@pytest.mark.parametrize(
    "name", ["manifest.json", "golden.json", "preprocessing.json", "evaluation.json"]
)
def test_no_package_is_more_than_refused_with_a_sentence(
    package: Path, tmp_path: Path, name: str
) -> None:
    @given(
        content=mutations.strategy(mutations.document, [targets.good_file(package, name)]).map(
            mutations.text
        )
    )
    @settings(fixed, max_examples=40)
    def loads(content: bytes) -> None:
        began = time.process_time()
        assert targets.load_changed(package, name=name, content=content, into=tmp_path / "changed")
        assert time.process_time() - began < SECONDS

    loads()


@given(lines=mutations.strategy(mutations.table, targets.TABLE))
@settings(fixed, max_examples=150)
def test_no_table_of_counts_is_more_than_refused_with_a_sentence(lines: list[str]) -> None:
    began = time.process_time()
    assert targets.replayed(lines)
    assert time.process_time() - began < SECONDS


def test_of_thousands_of_requests_and_events_none_is_an_error_and_none_stays_in_memory(
    server: targets.Application, collector: targets.Collector
) -> None:
    """By random numbers, which are faster than hypothesis; `python -m tests.fuzz` sends as many as
    it is told to."""
    for seed in range(3_000):
        began = time.process_time()
        answered(
            server.ask(*mutations.body(mutations.Rolled(seed), targets.good_requests()))[0],
            since=began,
            among={200, 400, 413, 415},
        )
    for seed in range(1_000):
        began = time.process_time()
        answered(
            collector.ask(
                "/v1/events", *mutations.body(mutations.Rolled(seed), [targets.good_events()])
            ),
            since=began,
            among={202, 400, 413, 415},
        )
