"""The compiled pipelines of the loop, run on this machine: retraining, monitoring, many, and who is told."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway import artifacts, errors
from fairway.monitoring.eventstore import places
from fairway.packaging import manifest
from fairway.pipelines import compiled, run
from fairway.platforms.local import home as homes
from fairway.platforms.local import state
from fairway.rollout import states
from tests.pipelines import runs
from tests.receiver import receiver
from tests.retraining import test_challenger as asked_of

REVISION = "aaa"


def steps_of(record: run.TrainingRun) -> dict[str, artifacts.Json]:
    return {step["step"]: step for step in record.steps}


@pytest.fixture
def home(promoted: runs.Promoted, tmp_path: Path) -> Path:
    """A home where the model that was promoted serves, and has been asked of 80 pictures, each of which
    has a label."""
    place = homes.Home(tmp_path / "home")
    place.make()
    made = manifest.load(promoted.package)
    config = runs.settings().model_dump(mode="json", by_alias=True)
    store = state.Store(place.state)
    revision = state.LocalRevision(
        revision=REVISION,
        deployment="digits",
        package=str(promoted.package),
        digest=made.digest,
        facts=made.facts(),
        config=config,
        note="",
        created_at=1e9,
    )
    store.deploy(revision, now=1e9)
    found = store.deployment("digits")
    store.save(
        "digits",
        state=states.State(phase=states.Phase.STABLE, stable=REVISION),
        policy=found.policy,
        events=[],
        answered=None,
    )
    store.close()
    images, truth = asked_of.pictures()
    events = places.opened(place.events)
    for number in range(asked_of.SEEN):
        events.add([answer(number, images), asked_of.label(str(number), truth[number])])
    events.close()
    return place.root


def answer(number: int, images: Any) -> Any:
    pictures = {"image": images[number : number + 1]}
    return asked_of.prediction(str(number), pictures, rows=1, probabilities=[[0.1] * 10])


def ran(pipeline: str, home: Path, *overrides: str, **arguments: Any) -> run.TrainingRun:
    told = {"store": str(home / "packages"), "deploy_package": False, "watch": False}
    return run.run_pipeline(
        runs.settings(*overrides), pipeline=pipeline, home=home, arguments={**told, **arguments}
    )


def test_retraining_learns_from_late_labels_and_compares_on_the_newest(home: Path) -> None:
    record = ran("retraining", home)
    steps = steps_of(record)
    assert list(steps)[:3] == ["champion", "label-data", "validate-data"]
    assert steps["label-data"]["parameters"]["labelled"] == asked_of.SEEN
    measured = artifacts.read_json(
        Path(steps["evaluate"]["artifacts"]["evaluation"]["path"]) / "evaluation.json"
    )
    assert measured["rows"] == 24  # three in ten of 80
    better = measured["paired"]["drop"] < 0
    assert record.outcome == ("packaged" if better else "refused")
    assert ("package" if better else "refuse") in steps
    assert steps["notify"]["status"] == "done"


def test_too_few_late_labels_refuse_the_run_and_it_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = home.parent / "labels.csv"
    few.write_text("request_id,label\n0,1\n")
    places.opened(home / "events.db").close()
    (home / "events.db").unlink()
    places.opened(home / "events.db").close()
    with receiver() as webhook:
        monkeypatch.setenv("FAIRWAY_WEBHOOK_URL", webhook.url)
        with pytest.raises(errors.Refused, match="0 answers have a label"):
            ran("retraining", home, labels=str(few))
    [told] = webhook.told
    [name] = [folder.name for folder in (home / "runs").iterdir()]
    said = f"default/digits: run {name} of fairway-retraining failed: its steps' logs say why"
    assert said in told["text"]
    logs = [file.read_text() for file in (home / "runs").rglob("*.log")]
    kept = [file.read_text() for file in (home / "runs").rglob("*.json")]
    assert not [text for text in (*logs, *kept) if webhook.url in text]


def test_monitoring_trains_a_challenger_where_one_is_due(
    home: Path, promoted: runs.Promoted
) -> None:
    """The labels are of months ago, and what is asked is like what was learnt from."""
    like = str(promoted.package)
    record = ran("monitoring", home, "retraining.minLabels=50", after=like)
    steps = steps_of(record)
    assert steps["detect-drift"]["parameters"]["verdict"] == "same"
    decided = steps["decide-retraining"]["parameters"]
    assert decided["decision"] == "train"
    assert "(refresh): a challenger is trained" in decided["reason"]
    assert {"label-data", "validate-data", "train", "gate"} <= steps.keys()
    assert record.outcome in ("packaged", "refused")
    again = ran("monitoring", home, "retraining.minLabels=50", after=like)
    assert again.outcome == "waited"
    assert "(coolDown, doubled for each of 1 runs that deployed nothing)" in again.reason


def test_broken_data_trains_no_model_though_drift_asks_for_one(home: Path) -> None:
    record = ran("monitoring", home, "retraining.onDrift=true")  # pictures half as bright
    steps = steps_of(record)
    assert steps["detect-drift"]["parameters"]["verdict"] == "drifted"
    page = Path(steps["detect-drift"]["artifacts"]["report"]["path"])
    assert "<html" in page.read_text().lower()
    assert record.outcome == "waited"
    assert record.reason.startswith("a drift ticket is open (onDrift); but the data is broken")


def test_monitoring_waits_with_its_reason_where_nothing_is_due_and_trains_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as webhook:
        monkeypatch.setenv("FAIRWAY_WEBHOOK_URL", webhook.url)
        record = ran("monitoring", home, "pipeline.notify.outcomes=[waited]")
    assert record.outcome == "waited"
    assert "80 of 200 labels are in (minLabels)" in record.reason
    assert [step["step"] for step in record.steps] == [
        "champion",
        "detect-drift",
        "decide-retraining",
        "tell-2",
        "notify",
    ]
    [told] = webhook.told  # the run's own end is none of those that are asked for
    assert "waited: 80 of 200 labels" in told["text"]


def test_monitoring_waits_while_nobody_has_asked_the_model_yet(home: Path) -> None:
    (home / "events.db").unlink()
    places.opened(home / "events.db").close()
    record = ran("monitoring", home)
    said = steps_of(record)["detect-drift"]["parameters"]
    assert (record.outcome, said["verdict"]) == ("waited", "unserved")
    assert "no prediction of digits with logged inputs is there" in said["sentence"]


def test_monitoring_waits_while_few_have_asked_the_model(home: Path) -> None:
    (home / "events.db").unlink()
    events = places.opened(home / "events.db")
    events.add([answer(number, asked_of.pictures()[0]) for number in range(3)])
    events.close()
    record = ran("monitoring", home)
    said = steps_of(record)["detect-drift"]["parameters"]
    assert (record.outcome, said["verdict"]) == ("waited", "unserved")
    assert said["sentence"].startswith("3 predictions of digits with logged inputs are there")
    assert record.reason.startswith("0 of 200 labels are in (minLabels)")
    with pytest.raises(errors.TrainingError, match="no prediction of digits with logged inputs"):
        ran("monitoring", home, after="digits@2026-11-01..2026-11-02")


@pytest.fixture
def kfp_local(tmp_path: Path) -> Callable[[str, artifacts.Json], Path]:
    """Run a request as a run of this machine does, without its record."""

    def execute(pipeline: str, arguments: artifacts.Json) -> Path:
        request = {
            "run": "one",
            "pipeline": str(compiled.find(pipeline)),
            "kept": str(tmp_path / "kept"),
            "cache": None,
            "root": str(tmp_path / "steps"),
            "arguments": arguments,
        }
        artifacts.write_json(tmp_path / "request.json", request)
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "fairway.pipelines.execute", "request.json"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,  # its end is the run's
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as child:
            assert child.stdout is not None
            said = child.stdout.read()
        assert child.returncode == 0, said[-3000:]
        return tmp_path / "steps"

    return execute


def test_many_runs_the_steps_for_each_configuration_of_the_list(
    kfp_local: Callable[[str, artifacts.Json], Path], tmp_path: Path
) -> None:
    configs = [
        runs.settings(f"name=digits-{seed}", f"training.seed={seed}", "training.epochs=1")
        for seed in (1, 2)
    ]
    texts = [one.model_dump_json(by_alias=True) for one in configs]
    arguments = {
        "config": texts[0],
        "configs": texts,
        "home": str(tmp_path),
        "compare_with": "none",
    }
    root = kfp_local("many.yaml", {**arguments, "store": str(tmp_path / "packages")})
    made = [manifest.read(place).name for place in sorted((tmp_path / "packages").iterdir())]
    assert sorted(made) == ["digits-1", "digits-2"]
    assert len(list(root.glob("*/notify"))) == 1
