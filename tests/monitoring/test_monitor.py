import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fairway import artifacts
from fairway.monitoring import exporter, monitor
from fairway.monitoring.detectors import base
from fairway.monitoring.eventstore import conclusions, places
from fairway.packaging import package
from tests.monitoring import made, processes
from tests.serving import support

pytestmark = pytest.mark.timeout(600)
WINDOW = 100
NOW = time.time()  # events are stored by it, and what was concluded long before is removed
RNG = np.random.default_rng(0)


def rows(count: int, *, shift: float = 0.0) -> list[dict[str, Any]]:
    ages, hours = RNG.normal(40 + 10 * shift, 10, count), RNG.normal(40, 10, count)
    sectors = RNG.choice(["private", "state"], count)
    return [
        {"age": float(a), "hours": float(h), "sector": str(s)}
        for a, h, s in zip(ages, hours, sectors, strict=True)
    ]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    declared = {**support.SCHEMA, "reference": "reference.json"}
    declared["features"] = [
        {**feature, "range": [-100, 200]} if "range" in feature else feature
        for feature in support.SCHEMA["features"]
    ]
    (folder / "schema.json").write_text(json.dumps(declared))
    (folder / "reference.json").write_text(json.dumps(rows(300)))
    made_of = support.onnx_model(folder / "model.onnx")
    return Path(
        package.import_onnx(
            made_of, schema=folder / "schema.json", name="income", out=folder / "store"
        ).path
    )


class Stage:
    """A home directory with its event store, and traffic."""

    def __init__(self, home: Path, packaged: Path) -> None:
        self.home, self.packaged, self.sent = home, packaged, 0
        self.events = places.opened(home / "events.db")
        self.watch()

    def watch(
        self, *, revision: str = "aaa", path: Path | None = None, also: tuple[str, ...] = ()
    ) -> None:
        artifacts.write_json(
            self.home / "monitor.json",
            {
                "deployments": {
                    name: {
                        "namespace": "default",
                        "revision": revision,
                        "package": str(path or self.packaged),
                        "monitoring": {"window": WINDOW, "interval": "200ms", "consecutive": 2},
                    }
                    for name in ("income", *also)
                }
            },
        )

    def serve(
        self,
        *,
        shift: float = 0.0,
        count: int = WINDOW,
        revision: str = "aaa",
        received: float | None = None,
        **data: Any,
    ) -> None:
        """Log so many requests, as the package's model would have answered them."""
        weights = np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32)
        batch = []
        for row in rows(count, shift=shift):
            scores = np.array([(row["age"] - 40) / 10, (row["hours"] - 40) / 10]) @ weights
            chances = (np.exp(scores) / np.exp(scores).sum()).tolist()
            inputs = {name: [value] for name, value in row.items()}
            self.sent += 1
            batch.append(
                made.prediction(
                    f"r{self.sent}",
                    revision=revision,
                    **{"inputs": inputs, "probabilities": [chances], **data},
                )
            )
        self.events.add(batch, at=received)

    def tickets(self) -> list[conclusions.Alert]:
        return self.events.conclusions.alerts(deployment="income", open_only=True)


@pytest.fixture
def stage(tmp_path: Path, packaged: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path, packaged)
    yield opened
    opened.events.close()


def fresh(stage: Stage) -> monitor.Monitor:
    return monitor.Monitor(stage.home, events=stage.events, series=exporter.Exporter())


def test_two_drifted_windows_open_a_ticket_and_two_clean_ones_resolve_it(stage: Stage) -> None:
    looking = fresh(stage)
    verdicts = []
    for shift in (0.0, 1.0, 1.0, 0.0, 0.0):
        stage.serve(shift=shift)
        assert looking.look(now=NOW) == 1
        verdicts.append(
            (stage.events.conclusions.drift("income")[-1]["drifted"], len(stage.tickets()))
        )
    assert verdicts == [(False, 0), (True, 0), (True, 1), (False, 1), (False, 0)]
    (ticket,) = stage.events.conclusions.alerts()
    assert (ticket.name, ticket.severity) == ("InputDrift", "ticket")
    assert "age" in ticket.summary
    assert "age +" in ticket.description
    assert "aaa" in ticket.description
    assert ticket.resolution == "2 windows in a row are like the reference again"


def test_a_window_waits_until_it_is_full_and_shares_no_row_with_the_last(stage: Stage) -> None:
    looking = fresh(stage)
    stage.serve(count=WINDOW - 1)
    assert looking.look(now=NOW) == 0
    stage.serve(count=1)
    assert looking.look(now=NOW) == 1
    assert looking.look(now=NOW) == 0


def test_a_new_monitor_goes_on_where_the_last_was_killed(stage: Stage) -> None:
    stage.serve(shift=1.0)
    assert fresh(stage).look(now=NOW) == 1
    assert fresh(stage).look(now=NOW) == 0
    stage.serve(shift=1.0)
    assert fresh(stage).look(now=NOW) == 1
    assert len(stage.tickets()) == 1


def test_a_new_revision_starts_anew_and_closes_the_ticket_of_the_old(stage: Stage) -> None:
    looking = fresh(stage)
    for _ in range(2):
        stage.serve(shift=1.0)
        looking.look(now=NOW)
    assert len(stage.tickets()) == 1
    stage.watch(revision="bbb")
    stage.serve(shift=1.0, revision="bbb")
    looking.look(now=NOW)
    assert stage.tickets() == []
    assert "bbb is in service now" in (stage.events.conclusions.alerts()[0].resolution or "")
    assert [
        record["inARow"] for record in stage.events.conclusions.drift("income", revision="bbb")
    ] == [1]


def test_inputs_that_do_not_fit_are_skipped_with_a_sentence_and_the_next_window_is_tested(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    looking = fresh(stage)
    stage.serve(inputs={"age": ["old"]})
    assert looking.look(now=NOW) == 0
    assert "do not fit the reference" in caplog.text
    stage.serve()
    assert looking.look(now=NOW) == 1


HOSTILE = [
    pytest.param(
        {
            "inputs": {
                "age": [1.7976931348623157e308],
                "hours": [-1.7976931348623157e308],
                "sector": ["state"],
            }
        },
        id="ends-of-the-floats",
    ),
    pytest.param(
        {"inputs": {"age": [40.0], "hours": [40.0], "sector": ["x" * 2_000_000]}}, id="word-of-2-MB"
    ),
    pytest.param({"inputs": {"age": [None], "hours": [None], "sector": [None]}}, id="missing"),
    pytest.param(
        {"inputs": {"age": [40.0] * 3, "hours": [[[[40.0]]]], "sector": [[["a"]]]}},
        id="other-shapes",
    ),
]


@pytest.mark.parametrize("data", HOSTILE)
def test_no_request_keeps_a_window_from_its_verdict(stage: Stage, data: dict[str, Any]) -> None:
    looking = fresh(stage)
    stage.serve(count=WINDOW - 2)
    stage.serve(count=2, **data)
    assert looking.look(now=NOW) == 1
    assert stage.events.conclusions.drift("income")[0]["drifted"] is False


class Failing:
    """A detector that a window ends."""

    def check(self, reference: base.Arrays, window: base.Arrays) -> base.DriftResult:
        raise RecursionError("too deep")


def test_whatever_a_window_ends_with_it_is_passed_and_told_and_other_deployments_are_watched(
    stage: Stage,
) -> None:
    looking, working = fresh(stage), {}
    stage.watch(also=("other",))
    looking.look(now=NOW)
    for watched, subject in looking._subjects.items():
        if watched.deployment == "income":
            working = {watched: subject}
            looking._subjects = {
                **looking._subjects,
                watched: dataclasses.replace(subject, detector=Failing()),
            }
    stage.serve()
    stage.serve(deployment="other")
    assert looking.look(now=NOW + 1) == 1  # the other's
    (ticket,) = stage.tickets()
    assert (ticket.name, ticket.severity) == ("DriftWindowFailed", "ticket")
    assert "RecursionError: too deep" in ticket.summary
    arm = 'deployment="income",namespace="default",revision="aaa",role="stable"'
    failed = f"fairway_monitoring_windows_failed_total{{{arm}}} 1.0"
    assert failed in looking.series.text()
    looking._subjects.update(working)
    assert looking.look(now=NOW + 2) == 0  # it is not tried again
    stage.serve()
    assert looking.look(now=NOW + 3) == 1
    assert stage.tickets() == []


def test_a_package_that_is_not_there_is_named_and_watched_when_it_is(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.watch(path=stage.home / "nowhere")
    looking = fresh(stage)
    stage.serve()
    assert looking.look(now=NOW) == 0
    assert "has no manifest.json" in caplog.text
    stage.watch()
    assert looking.look(now=NOW) == 1


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"deployments": {"income": {}}}', '{"deployments": 3}']
)
def test_a_file_that_cannot_be_read_changes_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    looking = fresh(stage)
    stage.serve()
    looking.look(now=NOW)
    (stage.home / "new.json").write_text(text)
    os.replace(stage.home / "new.json", stage.home / "monitor.json")
    stage.serve()
    assert looking.look(now=NOW) == 1
    assert "cannot be read" in caplog.text


def test_old_events_are_removed_after_the_retention(stage: Stage) -> None:
    looking = fresh(stage)
    stage.serve(received=NOW - 100 * 86_400)
    stage.serve(count=3)
    looking.look(now=NOW)
    assert [arm.events for arm in stage.events.counts()] == [3]


def test_the_process_tickets_a_shift_exports_it_and_ends_on_sigterm(stage: Stage) -> None:
    with processes.started("fairway.monitoring.monitor", "--home", str(stage.home)) as running:
        for number, shift in enumerate((0.0, 1.0, 1.0), start=1):
            stage.serve(shift=shift)
            processes.eventually(
                lambda number=number: len(stage.events.conclusions.drift("income")) == number,
                seconds=120,
            )
        assert len(stage.tickets()) == 1
        arm = 'deployment="income",{}namespace="default",revision="aaa",role="stable"'
        drifted = "fairway_monitoring_windows_total{" + arm.format('drifted="true",') + "} 2.0"
        processes.eventually(
            lambda: drifted in httpx.get(running.url + "/metrics").text, seconds=30
        )  # counted after it is stored
        text = httpx.get(running.url + "/metrics").text
        assert (
            "fairway_monitoring_windows_total{" + arm.format('drifted="false",') + "} 1.0" in text
        )
        assert "fairway_monitoring_ticket_open{" + arm.format("") + "} 1.0" in text
        assert running.end() == 0


@pytest.mark.parametrize(
    "wrong", [3, {}, {"monitoring": {"engine": "gone"}}], ids=["no object", "empty", "an engine"]
)
def test_a_deployment_that_is_described_wrongly_keeps_no_other_from_being_watched(
    stage: Stage, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    known = artifacts.read_json(stage.home / "monitor.json")["deployments"]
    item = {**known["income"], **wrong} if isinstance(wrong, dict) and wrong else wrong
    artifacts.write_json(stage.home / "monitor.json", {"deployments": {"a": item, **known}})
    stage.serve()
    assert fresh(stage).look(now=NOW) == 1
    assert "a cannot be read, what was watched before is watched on" in caplog.text
