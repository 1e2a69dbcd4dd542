import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fairway import artifacts, files
from fairway.monitoring import exporter, keeper, monitor, watched
from fairway.monitoring.detectors import together
from fairway.monitoring.eventstore import conclusions, places
from fairway.packaging import golden, package
from tests.monitoring import made, processes
from tests.serving import support

pytestmark = pytest.mark.timeout(600)
WINDOW = 20  # rows of the only scale
LEARNT = 20  # windows that are learnt from
TOLD = 60  # windows after which a shift of a standard deviation has long been found
# Events are stored by it, to the microsecond, and what was concluded long before is removed.
NOW = float(int(time.time()))
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
        self.home, self.packaged, self.sent, self.now = home, packaged, 0, NOW
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
                        "monitoring": {
                            "engine": "native",
                            "interval": "200ms",
                            "scales": [WINDOW],
                            "learn": {"rows": WINDOW * LEARNT, "duration": "0s"},
                        },
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
                    at=self.now + len(batch),
                    **{"inputs": inputs, "probabilities": [chances], **data},
                )
            )
        self.events.add(batch, at=received)

    def play(self, looking: monitor.Monitor, windows: int, **data: Any) -> int:
        """Serve so many windows and look at each; return after how many a ticket was open, 0 for
        never."""
        opened = 0
        for number in range(1, windows + 1):
            self.serve(**data)
            self.now += 60
            assert looking.look(now=self.now) == 1
            opened = opened or (number if self.tickets() else 0)
        return opened

    def tickets(self) -> list[conclusions.Alert]:
        return self.events.conclusions.alerts(deployment="income", open_only=True)


@pytest.fixture
def stage(tmp_path: Path, packaged: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path, packaged)
    yield opened
    opened.events.close()


def fresh(stage: Stage) -> monitor.Monitor:
    return monitor.Monitor(stage.home, events=stage.events, series=exporter.Exporter())


def test_a_shift_opens_a_ticket_and_what_is_usual_resolves_it(stage: Stage) -> None:
    looking = fresh(stage)
    assert stage.play(looking, LEARNT + 20) == 0
    records = stage.events.conclusions.drift("income")
    assert [record["learning"] for record in records] == [True] * LEARNT + [False] * 20
    opened = stage.play(looking, TOLD, shift=1.0)
    assert 5 < opened < 40
    (ticket,) = stage.tickets()
    assert (ticket.name, ticket.severity) == ("InputDrift", "ticket")
    assert "income: the inputs moved: age +" in ticket.summary
    assert "Revision aaa, since" in ticket.description
    assert stage.play(looking, 120) == 1  # it is still open
    assert stage.tickets() == []
    (ticket,) = stage.events.conclusions.alerts()
    assert ticket.resolution == "the windows since are like the reference again"


def test_a_version_that_measures_more_begins_the_watch_anew_and_resolves_the_open_ticket(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT + 20)
    assert stage.play(looking, TOLD, shift=1.0) > 0
    key = watched.mark("income")
    mark = stage.events.conclusions.mark(key)
    del mark["state"]["scales"][str(WINDOW)]["sums"][-2:]
    with stage.events.writing():
        stage.events.conclusions.set_mark(key, mark)
    looking = fresh(stage)
    assert stage.play(looking, 1) == 1
    assert "the watch begins anew: the state has" in caplog.text
    stage.play(looking, 60)
    assert stage.tickets() == []


def test_a_window_waits_until_it_is_full_and_shares_no_row_with_the_last(stage: Stage) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    stage.serve(count=WINDOW - 1)
    assert looking.look(now=NOW) == 0
    stage.serve(count=1)
    assert looking.look(now=NOW) == 1
    assert looking.look(now=NOW) == 0


@pytest.mark.parametrize(("size", "says"), [(WINDOW, {"drifted": True}), (10, {})], ids=str)
def test_detectors_beside_say_what_moved_or_why_they_say_nothing_and_open_no_ticket(
    stage: Stage, size: int, says: dict[str, bool]
) -> None:
    known = artifacts.read_json(stage.home / "monitor.json")
    known["deployments"]["income"]["monitoring"].update(beside=["mmd"], scales=[size])
    artifacts.write_json(stage.home / "monitor.json", known)
    looking = fresh(stage)
    stage.play(looking, WINDOW * LEARNT // size)
    assert stage.play(looking, 1, shift=3.0) == 0
    (said,) = stage.events.conclusions.drift("income")[-1]["beside"]
    assert said["name"] == "mmd"
    assert says.items() <= said.items()
    if not says:
        assert said["refusal"].startswith("10 rows are too few")


def test_a_detector_beside_that_fails_is_a_refusal_and_the_window_has_its_verdict(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = artifacts.read_json(stage.home / "monitor.json")
    known["deployments"]["income"]["monitoring"].update(beside=["mmd"])
    artifacts.write_json(stage.home / "monitor.json", known)

    def failing(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(together.NativeMmd, "check", failing)
    stage.play(fresh(stage), LEARNT + 1)
    last = stage.events.conclusions.drift("income")[-1]
    assert last["learning"] is False
    assert last["beside"] == [{"name": "mmd", "refusal": "LinAlgError: Singular matrix"}]


def test_windows_are_learnt_from_over_the_time_that_is_asked_for(stage: Stage) -> None:
    known = artifacts.read_json(stage.home / "monitor.json")
    known["deployments"]["income"]["monitoring"]["learn"]["duration"] = "1h"
    artifacts.write_json(stage.home / "monitor.json", known)
    looking = fresh(stage)
    for second, learns in ((0, 1), (100, 0), (179, 0), (180, 1), (200, 0), (360, 1)):
        stage.serve()
        assert looking.look(now=NOW + second) == learns
    text = looking.series.text()
    assert "fairway_monitoring_learning{" in text


def test_windows_of_another_size_than_what_was_learnt_begin_anew(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.play(fresh(stage), LEARNT - 3)
    known = artifacts.read_json(stage.home / "monitor.json")
    known["deployments"]["income"]["monitoring"]["scales"] = [WINDOW // 2]
    artifacts.write_json(stage.home / "monitor.json", known)
    stage.play(fresh(stage), 2 * LEARNT, count=WINDOW // 2)
    assert "windows of 20 rows were learnt, and 10 are wanted now" in caplog.text
    learnt = golden.read_reference(stage.home / "monitor" / "income.npz")
    assert (len(learnt["age"]), learnt["__chunk__"].tolist()) == (LEARNT * WINDOW, [WINDOW // 2])


def test_a_monitor_that_is_killed_at_any_time_comes_to_the_same_ticket(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stories = []
    for killed in (False, True):
        RNG.bit_generator.state = np.random.default_rng(5).bit_generator.state
        other = Stage(tmp_path_factory.mktemp("home"), stage.packaged)
        looking, opened = fresh(other), []
        for number in range(LEARNT + 10 + TOLD):
            other.serve(shift=float(number >= LEARNT + 10))
            other.now += 60
            looking = fresh(other) if killed else looking
            assert looking.look(now=other.now) == 1
            if killed:
                assert fresh(other).look(now=other.now) == 0
            opened += [number] if other.tickets() else []
        stories.append((opened[0], len(other.events.conclusions.alerts())))
        other.events.close()
    assert stories[0] == stories[1]
    assert stories[0][1] == 1


def test_a_new_revision_closes_the_ticket_of_the_old_and_is_held_against_the_same_inputs(
    stage: Stage,
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    assert stage.play(looking, TOLD, shift=1.0) > 0
    stage.watch(revision="bbb")
    stage.serve(revision="bbb")
    looking.look(now=stage.now)
    assert stage.tickets() == []
    assert "bbb is in service now" in (stage.events.conclusions.alerts()[0].resolution or "")
    opened = 0
    for number in range(LEARNT - 1):  # while its answers are learnt
        stage.serve(revision="bbb", shift=2.0)
        stage.now += 60
        assert looking.look(now=stage.now) >= 1
        opened = opened or (number if stage.tickets() else 0)
    assert opened > 0


def test_a_revision_with_other_inputs_learns_them_first(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looking = fresh(stage)
    stage.play(looking, LEARNT)
    known = artifacts.read_json(stage.home / "monitor.json")
    stored = dict(golden.read_reference(stage.home / "monitor" / "income.npz"))
    stored["before"] = stored.pop("hours")
    files.write_bytes(stage.home / "monitor" / "income.npz", golden.archived(stored))
    known["deployments"]["income"]["revision"] = "bbb"
    artifacts.write_json(stage.home / "monitor.json", known)
    assert stage.play(looking, LEARNT + 5, revision="bbb") == 0
    assert stage.events.conclusions.drift("income")[-1]["learning"] is False
    assert "has no column" not in caplog.text


def test_a_window_that_was_written_before_a_kill_is_learnt_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.play(fresh(stage), 5)

    def killed(self: keeper.Keeper) -> None:
        raise KeyboardInterrupt

    stage.serve()
    with monkeypatch.context() as dying:
        dying.setattr(keeper.Keeper, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh(stage).look(now=stage.now)
    looking = fresh(stage)
    assert looking.look(now=stage.now) == 1  # the same window
    stage.now += 60
    stage.play(looking, LEARNT - 6)
    learnt = golden.read_reference(stage.home / "monitor" / "income.npz")
    assert len(learnt["age"]) == len(set(learnt["__at__"].tolist())) == LEARNT * WINDOW


def test_a_revision_learns_nothing_of_what_another_had_begun_to_answer(stage: Stage) -> None:
    stage.play(fresh(stage), LEARNT - 3)
    stage.watch(revision="bbb")
    stage.play(fresh(stage), LEARNT + 2, revision="bbb")
    records = stage.events.conclusions.drift("income", revision="bbb")
    assert [record["learning"] for record in records] == [True] * LEARNT + [False] * 2


def test_what_is_served_unlike_the_training_data_from_the_first_row_on_is_told(
    stage: Stage,
) -> None:
    looking = fresh(stage)
    assert stage.play(looking, LEARNT, shift=1.0) == LEARNT
    (ticket,) = stage.tickets()
    assert "what is served differs from the training data, most age (+" in ticket.summary
    assert "Next: find out whether serving prepares these features" in ticket.description


def test_inputs_that_do_not_fit_are_skipped_with_a_sentence_and_the_next_window_is_tested(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    looking = fresh(stage)
    stage.serve(inputs={"age": ["old"]})
    assert looking.look(now=NOW) == 0  # not while it learns either
    assert [ticket.name for ticket in stage.tickets()] == ["DriftWindowFailed"]
    stage.play(looking, LEARNT + 1)
    assert stage.tickets() == []
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
    stage.play(looking, LEARNT + 1)
    stage.serve(count=WINDOW - 2)
    stage.serve(count=2, **data)
    assert looking.look(now=stage.now) >= 1
    assert stage.tickets() == []


def test_whatever_a_window_ends_with_it_is_passed_and_told_and_other_deployments_are_watched(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = fresh(stage)
    stage.watch(also=("other",))
    for _ in range(LEARNT):
        stage.serve()
        stage.serve(deployment="other")
        assert looking.look(now=NOW) == 2
    taken = keeper.Keeper._conclude

    def failing(self: keeper.Keeper, *arguments: Any, **named: Any) -> None:
        if self.watched.deployment == "income":
            raise RecursionError("too deep")
        taken(self, *arguments, **named)

    with monkeypatch.context() as broken:
        broken.setattr(keeper.Keeper, "_conclude", failing)
        stage.serve()
        stage.serve(deployment="other")
        assert looking.look(now=NOW + 1) == 1  # the other's
    (ticket,) = stage.tickets()
    assert (ticket.name, ticket.severity) == ("DriftWindowFailed", "ticket")
    assert "RecursionError: too deep" in ticket.summary
    arm = 'deployment="income",namespace="default",revision="aaa",role="stable"'
    failed = f"fairway_monitoring_windows_failed_total{{{arm}}} 1.0"
    assert failed in looking.series.text()
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
        windows = 0
        while not stage.tickets():
            stage.serve(shift=float(windows >= LEARNT))
            windows += 1
            processes.eventually(
                lambda number=windows: len(stage.events.conclusions.drift("income")) == number,
                seconds=120,
            )
            assert windows < LEARNT + TOLD
        arm = 'deployment="income",namespace="default",revision="aaa",role="stable"'
        is_open = "fairway_monitoring_ticket_open{" + arm + "} 1.0"
        processes.eventually(
            lambda: is_open in httpx.get(running.url + "/metrics").text, seconds=30
        )  # shown after it is stored
        text = httpx.get(running.url + "/metrics").text
        assert "fairway_monitoring_learning{" + arm + "} 0.0" in text
        assert "fairway_monitoring_window_rows_total{" + arm + "}" in text
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


def test_a_redacted_feature_is_not_watched_and_said_to_be_so(stage: Stage) -> None:
    looking = fresh(stage)
    redacted = {"redacted": ["hours"]}
    assert stage.play(looking, LEARNT + 5, **redacted) == 0
    (window,) = stage.events.conclusions.drift("income", limit=1)
    assert window["redacted"] == ["hours"]
    assert "hours" not in {feature["name"] for feature in window["features"]}
    assert not window["learning"]
    again = fresh(stage)  # a monitor that begins anew knows it too
    assert stage.play(again, TOLD, shift=1.5, **redacted) > 0
