"""What the verbs say of a deployment follows from where it stands, not from what was asked for."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairway.cli import deployed
from fairway.monitoring import watched
from fairway.monitoring.eventstore import places
from fairway.platforms.local import client
from fairway.rollout.states import Phase
from tests.cli import standing
from tests.cli.running import assert_one_sentence, fairway, one_object
from tests.monitoring import made
from tests.serving import support

OLD, NEW = "a" * 12, "b" * 12


def test_a_revision_that_was_rolled_back_is_refused_at_once_and_no_rollout_is_promised(
    tmp_path: Path,
) -> None:
    package = support.packaged(tmp_path / "model", name="few").path
    (tmp_path / "fairway.yaml").write_text(standing.CONFIGURATION)
    revision = one_object(fairway("deploy", package, "--output", "json", where=tmp_path))[
        "revision"
    ]
    standing.deployed(
        tmp_path, OLD, revision, phase=Phase.ROLLED_BACK, stable=OLD, rejected=(revision,)
    )
    done = fairway("deploy", package, "--no-wait", where=tmp_path)
    assert_one_sentence(done, status=3, words="`fairway rollout retry`")
    assert "and the rollout begins" not in done.stdout
    for wait in ("--wait", "--no-wait"):
        done = fairway("deploy", package, wait, "--output", "json", where=tmp_path)
        assert_one_sentence(done, status=3, words="`fairway rollout retry`")
        assert one_object(done) == {"revision": revision, "changed": False, "rejected": True}


def test_a_timeout_that_is_none_is_refused_before_anything_is_asked_for(tmp_path: Path) -> None:
    package = support.packaged(tmp_path / "model", name="few").path
    (tmp_path / "fairway.yaml").write_text(standing.CONFIGURATION)
    done = fairway("deploy", package, "--wait", "--timeout", "banana", where=tmp_path)
    assert_one_sentence(done, status=2, words="--timeout 'banana'")
    assert one_object(fairway("status", "--output", "json", where=tmp_path))["deployments"] == []


def test_monitor_shows_the_revision_that_has_most_of_the_requests_and_the_share_of_each(
    tmp_path: Path,
) -> None:
    standing.deployed(tmp_path, OLD, NEW, phase=Phase.BAKING, stable=OLD, candidate=NEW)
    shown = one_object(fairway("monitor", "--output", "json", where=tmp_path))
    assert shown["revision"] == NEW
    assert [(one["revision"], one["share"]) for one in shown["serving"]] == [(NEW, 95), (OLD, 5)]
    assert f"{NEW}, 95 % of the requests" in fairway("monitor", where=tmp_path).stdout


def test_monitor_says_that_no_ticket_opens_before_what_is_usual_is_learnt(tmp_path: Path) -> None:
    home = standing.deployed(tmp_path, OLD, phase=Phase.STABLE, stable=OLD)
    said = "0 of 20 windows; no ticket opens before"
    assert said in fairway("monitor", where=tmp_path).stdout
    with contextlib.closing(places.opened(home / "events.db")) as events:
        events.conclusions.set_mark(
            watched.mark("few"), {"revision": OLD, "learning": {"windows": 3}, "learnt": None}
        )
        shown = one_object(fairway("monitor", "--output", "json", where=tmp_path))
        assert shown["learning"] == {"windows": 3, "wanted": 20}
        events.conclusions.set_mark(
            watched.mark("few"), {"revision": OLD, "learning": {"windows": 20}, "learnt": OLD}
        )
    assert "no ticket opens" not in fairway("monitor", where=tmp_path).stdout


def test_retrain_gives_a_program_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = standing.deployed(tmp_path, OLD, phase=Phase.STABLE, stable=OLD)
    monkeypatch.setattr(client, "need", lambda home: None)
    told = ["--config", str(tmp_path / "fairway.yaml"), "--home", str(home), "--output", "json"]
    done = CliRunner().invoke(deployed.retrain, ["--reason", "new prices", *told])
    assert done.exit_code == 0, done.output
    record = json.loads(done.output)
    assert (record["deployment"], record["runs"]) == ("few", str(home / "runs"))
    assert record["asked"].endswith(": new prices")


def test_monitor_of_what_is_not_deployed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "fairway.yaml").write_text(standing.CONFIGURATION)
    assert_one_sentence(
        fairway("monitor", where=tmp_path), status=2, words="there is no deployment 'few'"
    )


def test_a_deployment_whose_guard_is_not_installed_any_more_is_said_by_status_and_named_in_the_list(
    tmp_path: Path,
) -> None:
    home = standing.deployed(tmp_path, OLD, phase=Phase.STABLE, stable=OLD)
    with contextlib.closing(sqlite3.connect(home / "state.db")) as store, store:
        config = json.loads(store.execute("SELECT config FROM deployments").fetchone()[0])
        config["strategy"]["guards"] = [{"name": "profit", "type": "profit"}]
        store.execute("UPDATE deployments SET config=?", (json.dumps(config),))
    said = "nothing moves for few: what is stored of it cannot be read (strategy.guards.0: "
    status = fairway("status", "--output", "json", where=tmp_path)
    assert_one_sentence(status, status=1, words=said)
    assert said in one_object(status)["deployments"][0]["reason"]
    listed = one_object(fairway("rollout", "list", "--output", "json", where=tmp_path))[
        "deployments"
    ]
    assert [(row["deployment"], said in row["reason"]) for row in listed] == [("few", True)]
    findings = one_object(fairway("check", "--output", "json", where=tmp_path))["findings"]
    assert [
        said in found["sentence"] for found in findings if found["subject"] == "deployment"
    ] == [True]
    stands = fairway("rollout", "status", "--output", "json", where=tmp_path)
    assert_one_sentence(stands, status=1, words=said)
    assert (one_object(stands)["phase"], one_object(stands)["stable"]) == ("Stable", OLD)
    for verb in (("rollout", "explain"), ("rollout", "retry")):
        assert_one_sentence(fairway(*verb, where=tmp_path), status=1, words=said)


def test_monitor_shows_how_sure_it_is_of_the_labels_by_class_and_slice_and_how_many_are_in(
    tmp_path: Path,
) -> None:
    home = standing.deployed(tmp_path, OLD, phase=Phase.STABLE, stable=OLD)
    arm = {"deployment": "few", "revision": OLD}
    truths = ["low"] * 38 + ["high"] * 2  # of the rare class every answer is wrong
    with contextlib.closing(places.opened(home / "events.db")) as events:
        events.add(
            [
                made.prediction(f"r{i}", label="low", inputs={"age": [i % 2]}, **arm)
                for i in range(50)
            ]
        )
        events.add([made.label(f"r{i}", said, deployment="few") for i, said in enumerate(truths)])
    where = {"where": tmp_path}
    sliced = ("monitor", "--set", "evaluation.slices=[age]")
    (shown,) = one_object(fairway(*sliced, "--output", "json", **where))["serving"]
    found = shown["performance"]
    assert (found["accuracy"], found["maturity"], found["anyLook"]) == (0.95, 0.8, True)
    low, high = found["interval"]
    assert 0.6 < low < 0.95 < high < 1
    rare, usual = found["classes"]
    assert (rare["class"], rare["labelled"], rare["recall"]) == ("high", 2, 0)
    assert rare["interval"][1] > 0.5  # two labels say little
    assert (usual["class"], usual["recall"]) == ("low", 1)
    assert [(one["value"], one["labelled"]) for one in found["slices"]] == [("0", 20), ("1", 20)]
    text = fairway(*sliced, **where).stdout
    assert "maturity    labels of 80.0% of 50 answers are in" in text
    assert f"interval    0.950, {low:.3f} to {high:.3f}, on 40 labels (95%, at every look)" in text
    assert "class       high: recall 0.000" in text
    assert "slice       age=1: 0.950" in text
