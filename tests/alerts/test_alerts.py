"""Every alert: it reads what is exported, says what was seen and what to do, has a runbook whose
commands exist and a dashboard, fires when it should and is silent when it should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from fairway import cli
from tests.alerts import complete, series

HERE = Path(__file__).parent
RUNBOOKS = series.MONITORING / "runbooks"
ALERTS = series.alerts()
KUBECTL = (
    "get",
    "describe",
    "logs",
    "patch",
    "edit",
    "rollout restart",
    "apply",
    "auth can-i",
    "port-forward",
    "annotate",
)


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found is not None, (
        "there is no promtool on PATH: it comes with Prometheus (Debian: apt-get install prometheus)"
    )
    return found


def lacking(alert: str, **changed: Any) -> list[str]:
    """Return what the alert lacks, with what is changed for a test."""
    _, rule = ALERTS[alert]
    found = {
        "runbook": read(RUNBOOKS / f"{alert}.md"),
        "dashboards": {
            dashboard["uid"]: {variable["name"] for variable in dashboard["templating"]["list"]}
            for dashboard in (json.loads(path.read_text("utf-8")) for path in series.DASHBOARDS)
        },
        "tests": yaml.safe_load(read(HERE / f"{alert}.yaml") or "tests: []")["tests"],
    }
    return complete.lacks(**{"rule": rule, **found, **changed})


def read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_evidence_commands_a_runbook_a_dashboard_and_two_tests(alert):
    assert lacking(alert) == []


@pytest.mark.parametrize("name", complete.SAID)
def test_an_alert_that_leaves_something_unsaid_is_found(name):
    _, rule = ALERTS["DriftTicket"]
    said = {key: text for key, text in rule["annotations"].items() if key != name}
    assert lacking("DriftTicket", rule={**rule, "annotations": said}) == [f"no {name}"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({"next": "kubectl delete md x"}, "next is not safe", id="next"),
        pytest.param(
            {"silence": "amtool silence add alertname=X"}, "another silence", id="silence"
        ),
        pytest.param({"dashboard_url": "http://x/d/other"}, "no dashboard", id="dashboard"),
        pytest.param({"description": "It moved."}, "no evidence", id="evidence"),
        pytest.param({"runbook_url": "http://x/Y.md"}, "another name", id="runbook"),
    ],
)
def test_an_alert_that_says_it_otherwise_is_found(changed, expected):
    _, rule = ALERTS["DriftTicket"]
    found = lacking("DriftTicket", rule={**rule, "annotations": {**rule["annotations"], **changed}})
    assert expected in "; ".join(found)


def test_an_alert_without_a_runbook_or_one_of_its_tests_is_found():
    assert lacking("DriftTicket", runbook=None) == ["no runbook"]
    assert lacking("DriftTicket", runbook="# DriftTicket\n\nLook.")
    tests = yaml.safe_load(read(HERE / "DriftTicket.yaml") or "")["tests"]
    assert lacking("DriftTicket", tests=tests[:1]) == ["no test that it stays silent"]
    assert lacking("DriftTicket", tests=tests[-1:]) == ["no test that it fires"]
    assert lacking("DriftTicket", tests=[]) != []


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == ALERTS.keys()


def commands(program: str) -> list[str]:
    """Return the command lines of the runbooks that call the program."""
    found = []
    for path in sorted(RUNBOOKS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        blocks = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        found += [
            line
            for line in (*blocks, *re.findall(r"`([^`\n]+)`", text))
            if line.startswith(f"{program} ")
        ]
    return found


@pytest.mark.parametrize("line", sorted(set(commands("fairway"))))
def test_the_runbooks_commands_of_ours_exist(line):
    command: click.Command | None = cli.cli
    words = line.split()[1:]
    while isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("line", sorted(set(commands("kubectl"))))
def test_the_runbooks_kubectl_does_what_an_on_call_engineer_may(line):
    words = re.sub(r"--namespace \S+ ", "", line.removeprefix("kubectl "))
    assert words.startswith(KUBECTL), line


def test_rules_read_what_is_exported():
    known = series.exported()
    assert {
        rule.get("alert") or rule["record"]: found
        for _, rule in series.groups()
        if (found := series.mistakes(rule["expr"], known))
    } == {}


@pytest.mark.parametrize("alert", ALERTS)
def test_a_test_is_of_the_file_that_has_the_alert(alert):
    path, _ = ALERTS[alert]
    document = yaml.safe_load((HERE / f"{alert}.yaml").read_text(encoding="utf-8"))
    assert [(HERE / name).resolve() for name in document["rule_files"]] == [path]


def test_every_promtool_test_is_of_an_alert():
    assert {path.stem for path in HERE.glob("*.yaml")} == ALERTS.keys()


@pytest.mark.cluster  # where Debian's Prometheus is
@pytest.mark.parametrize("alert", ALERTS)
def test_it_fires_when_it_should_and_is_silent_when_it_should(promtool, alert):
    done = subprocess.run(
        [promtool, "test", "rules", HERE / f"{alert}.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.cluster
def test_an_alert_that_never_fires_is_found_by_its_test(promtool, tmp_path):
    """The tests above could not fail otherwise."""
    path, rule = ALERTS["ServingDown"]
    (tmp_path / "rules.yaml").write_text(
        path.read_text(encoding="utf-8").replace(rule["expr"], "vector(1) > 2"), encoding="utf-8"
    )
    test = yaml.safe_load((HERE / "ServingDown.yaml").read_text(encoding="utf-8"))
    (tmp_path / "test.yaml").write_text(
        yaml.safe_dump({**test, "rule_files": ["rules.yaml"]}), encoding="utf-8"
    )
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


def test_what_a_waiting_challenger_is_deployed_by_is_shown_by_commands_before():
    text = read(RUNBOOKS / "ChallengerWaiting.md") or ""
    before, patch = text.split(" patch md ", 1)
    assert '"uri": "URI", "digest": "DIGEST"' in patch
    assert "logs job/RUN" in before  # where the CronJob of docs/kubernetes.md says it
    assert "fairway runs package RUN --on kubernetes" in before
