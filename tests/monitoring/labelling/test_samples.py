"""Samples to label are drawn, kept and measured alike, whether the store is here or a collector's."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fairway.model.schema import Schema
from fairway.monitoring import stretch
from fairway.monitoring.eventstore import archive, batches, blobs, distant, places, wire
from fairway.monitoring.labelling import samples
from tests.monitoring import made, processes

REQUESTS = 400
OWNER = {"namespace": "default", "deployment": "income"}
ASKED = samples.DrawnFrom(
    meant=stretch.asked("income"),
    namespace="default",
    revision="aaa",
    schema=Schema(target="pay", features=(), classes=("no", "yes")),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 400 answers of which a seventh have a label, with long names and strange ones."""
    path = tmp_path_factory.mktemp("samples") / "events.db"
    with contextlib.closing(places.opened(path)) as store:
        store.add([_prediction(number) for number in range(REQUESTS)])
        store.add([_label(number) for number in range(0, REQUESTS, 7)])
    return path


def _name(number: int) -> str:
    return f"{number}/" + ("ü&'\"" if number % 2 else "x") * 40


def _prediction(number: int) -> dict[str, object]:
    sure = 0.5 + number % 50 / 100
    return made.prediction(
        _name(number), label="no", at=made.START + number, probabilities=[[sure, 1 - sure]]
    )


def _label(number: int) -> dict[str, object]:
    return made.label(_name(number), "yes" if number % 3 else "no", at=made.START + 1_000)


@pytest.fixture
def store(filled: Path) -> Iterator[archive.EventStore]:
    with contextlib.closing(places.opened(filled)) as opened:
        yield opened


@pytest.fixture
def asked(filled: Path) -> Iterator[distant.Distant]:
    with processes.collector(filled) as running:
        yield distant.Distant(wire.Wire(url=running.url), **OWNER)


def _shelf(store: archive.EventStore) -> blobs.BlobShelf:
    return blobs.BlobShelf(blobs=store.blobs, **OWNER, now=made.START)


def test_a_collector_is_asked_for_what_its_store_says(
    store: archive.EventStore, asked: distant.Distant
) -> None:
    here, there = (
        samples.draw(past, ASKED, by="importance", count=100, seed=3, now=1.0)
        for past in (store.history, asked.history)
    )
    assert here == there
    assert (here.requests, here.labelled) == (REQUESTS - 58, 58)
    assert list(samples.rows(store.history, here, asked=ASKED)) == list(
        samples.rows(asked.history, there, asked=ASKED)
    )
    asked.follow()
    samples.keep(asked.shelf, there)
    assert samples.kept(_shelf(store)) == samples.kept(asked.shelf) == [here]
    store.add([made.label(one.request_id, "no", at=made.START + 2_000) for one in here.drawn])
    said = [
        samples.quality(past, here, beside=[here], **OWNER)
        for past in (store.history, asked.history)
    ]
    assert said[0] == said[1]
    assert said[0]["labelled"] == len(here.drawn)


def test_a_sample_is_kept_though_a_monitor_concludes_and_says_where_it_was_overtaken(
    asked: distant.Distant,
) -> None:
    drawn = samples.draw(asked.history, ASKED, by="uniform", count=20, seed=1, now=2.0)
    asked.follow()
    monitor = distant.Distant(asked.history._turns.line, **OWNER)
    monitor.follow()
    monitor.conclusions.set_mark("monitor/income", 1)
    with pytest.raises(batches.Overtaken, match="has concluded about default/income"):
        samples.keep(asked.shelf, drawn)
    asked.conclusions._turns.known = None
    asked.follow()
    samples.keep(asked.shelf, drawn)
    monitor.conclusions.set_mark("monitor/income", 2)  # a sample is no turn
    assert samples.kept(asked.shelf)[0] == drawn


@pytest.mark.parametrize("requests", ["", "{}", "[1]", "[" * 5_000])
def test_a_question_for_labels_that_names_no_requests_is_refused(
    asked: distant.Distant, requests: str
) -> None:
    answer = httpx.get(
        f"{asked.history._turns.line.url}/v1/labels", params={**OWNER, "requests": requests}
    )
    assert answer.status_code == 400
    assert "wanted a JSON list of request ids" in answer.json()["error"]
