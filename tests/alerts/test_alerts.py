"""Every alert: it reads what is exported, says what was seen, has a runbook whose commands exist,
fires when it should and is silent when it should."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from fairway import cli
from tests.alerts import series

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
    "annotate",
)


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found is not None, (
        "there is no promtool on PATH: it comes with Prometheus (Debian: apt-get install prometheus)"
    )
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_was_seen_and_where_to_read_on(alert):
    _, rule = ALERTS[alert]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert "$value" in rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"].endswith(f"/manifests/monitoring/runbooks/{alert}.md")
    assert "for" in rule


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_says_what_happened_what_was_done_and_what_to_do(alert):
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    places = [
        text.index(part)
        for part in ("**What happened.**", "**What was done already.**", "**What to do next**")
    ]
    assert places == sorted(places)
    assert "kubectl" in text[places[-1] :]


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
def test_an_alert_has_a_test_that_it_fires_and_one_that_it_stays_silent(alert):
    path, _ = ALERTS[alert]
    document = yaml.safe_load((HERE / f"{alert}.yaml").read_text(encoding="utf-8"))
    assert [(HERE / name).resolve() for name in document["rule_files"]] == [path]
    fires = [
        any(case["exp_alerts"] for case in test["alert_rule_test"]) for test in document["tests"]
    ]
    assert set(fires) == {True, False}
    assert {
        case["alertname"] for test in document["tests"] for case in test["alert_rule_test"]
    } == {alert}


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
