"""`fairway rollout replay` and `plan` as users call them."""

import json

import pytest

from tests.cli.running import assert_one_sentence, fairway, one_object
from tests.rollout.test_replay import table

STRATEGY = """
warmup: 0s
canary: {steps: [{weight: 25, minDuration: 30s}, {weight: 50}]}
bake: {weight: 5, duration: 60s}
guards: [{name: errors, type: errors, maxRate: 0.02}]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "strategy.yaml").write_text(STRATEGY)
    (tmp_path / "bad.csv").write_text("\n".join(table(rate=100, bad=0.2)))
    return tmp_path


def test_a_replay_is_one_object_with_all_that_was_decided(folder):
    done = fairway(
        "rollout",
        "replay",
        "bad.csv",
        "--strategy",
        "strategy.yaml",
        "--output",
        "json",
        where=folder,
    )
    assert done.returncode == 0, done.stderr
    found = one_object(done)
    assert set(found) == {
        "verdict",
        "reason",
        "at_seconds",
        "phases",
        "e_values",
        "intervals",
        "guarantee",
    }
    assert found["verdict"] == "ROLLBACK"


def test_a_replay_reads_to_a_person_as_a_verdict_its_phases_and_its_evidence(folder):
    done = fairway("rollout", "replay", "bad.csv", "--strategy", "strategy.yaml", where=folder)
    assert done.stdout.startswith("ROLLBACK at ")
    for words in ("PHASE", "Canary", "BET", "RATIO", "or more", "<= 0.01"):
        assert words in done.stdout


def test_a_table_from_a_spreadsheet_is_read(folder):
    (folder / "bad.csv").write_bytes(
        b"\xef\xbb\xbf" + (folder / "bad.csv").read_text().replace("\n", "\r\n").encode()
    )
    done = fairway(
        "rollout",
        "replay",
        "bad.csv",
        "--strategy",
        "strategy.yaml",
        "--output",
        "json",
        where=folder,
    )
    assert one_object(done)["verdict"] == "ROLLBACK"


@pytest.mark.parametrize("rps", ["inf", "nan"])
def test_a_traffic_that_is_none_is_one_sentence(folder, rps):
    assert_one_sentence(
        fairway(
            "rollout",
            "plan",
            "--requests-per-second",
            rps,
            "--strategy",
            "strategy.yaml",
            where=folder,
        ),
        status=2,
        words="wanted a finite number",
    )


def test_a_guard_that_nobody_can_foretell_is_named(folder):
    (folder / "strategy.yaml").write_text(
        STRATEGY.replace("0.02}]", "0.02}, {name: right, type: quality, gates: canary}]")
    )
    done = fairway(
        "rollout",
        "plan",
        "--requests-per-second",
        "50",
        "--strategy",
        "strategy.yaml",
        where=folder,
    )
    assert "Not foretold: right." in done.stdout


@pytest.mark.parametrize(
    "document",
    [
        "strategy:\n  {inner}",
        "apiVersion: fairway.dev/v1alpha1\nkind: ModelDeployment\nspec:\n  strategy:\n    {inner}",
    ],
)
def test_the_strategy_may_lie_in_a_configuration_or_a_modeldeployment(folder, document):
    inner = json.dumps(
        {"warmup": "0s", "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02}]}
    )
    (folder / "other.yaml").write_text(document.replace("{inner}", inner))
    done = fairway(
        "rollout", "replay", "bad.csv", "--strategy", "other.yaml", "--output", "json", where=folder
    )
    assert one_object(done)["verdict"] == "ROLLBACK"


@pytest.mark.parametrize(
    ("name", "text", "status", "words"),
    [
        (
            "bad.csv",
            "start,end\n1,2\n",
            1,
            "bad.csv has the columns start, end: wanted start_seconds,end_seconds",
        ),
        (
            "bad.csv",
            "\n".join([*table(rate=1, bad=0.0, seconds=5), "5,10,errors,1,2,0,3"]),
            1,
            "bad.csv, line 3: canary_events is 3, more than canary_requests, 2",
        ),
        (
            "strategy.yaml",
            "guards: [{name: errors, type: errors}]",
            2,
            "guard errors gates canary: it needs maxRate",
        ),
        ("strategy.yaml", "guards: [", 2, "cannot be read as YAML"),
    ],
)
def test_what_is_wrong_with_a_table_or_a_strategy_is_one_sentence(
    folder, name, text, status, words
):
    (folder / name).write_text(text)
    assert_one_sentence(
        fairway("rollout", "replay", "bad.csv", "--strategy", "strategy.yaml", where=folder),
        status=status,
        words=words,
    )


def test_a_table_that_is_not_there_is_one_sentence(folder):
    assert_one_sentence(
        fairway("rollout", "replay", "none.csv", "--strategy", "strategy.yaml", where=folder),
        status=2,
        words="none.csv cannot be read",
    )


def test_a_plan_says_how_long_and_what_is_possible(folder):
    arguments = (
        "rollout",
        "plan",
        "--requests-per-second",
        "10",
        "--usual-rate",
        "errors=0.005",
        "--strategy",
        "strategy.yaml",
    )
    found = one_object(fairway(*arguments, "--output", "json", where=folder))
    [errors] = found["guards"]
    assert errors["guard"] == "errors"
    assert 30 < errors["certified_seconds"] < 600
    assert errors["smallest_limit"] < 0.02
    assert errors["found_seconds"]["20%"] <= 30
    assert "CERTIFIED AFTER" in fairway(*arguments, where=folder).stdout


def test_an_impossible_plan_and_a_wrong_rate_are_one_sentence(folder):
    arguments = ("rollout", "plan", "--strategy", "strategy.yaml", "--requests-per-second")
    assert_one_sentence(
        fairway(*arguments, "0.001", where=folder),
        status=2,
        words="errors cannot certify 2.00% within 6h at 0.001 requests/s",
    )
    assert_one_sentence(
        fairway(*arguments, "10", "--usual-rate", "error=0.1", where=folder),
        status=2,
        words="wanted GUARD=RATE with a guard of errors",
    )
    assert_one_sentence(
        fairway(*arguments, "10", "--usual-rate", "errors=2", where=folder),
        status=2,
        words="a share from 0 to 1",
    )
