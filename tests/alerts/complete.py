"""What an alert must have before an on-call engineer meets it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlparse

SAID = ("summary", "description", "done", "next", "silence", "runbook_url", "dashboard_url")
PARTS = (
    "**What happened.**",
    "**What was done already.**",
    "**What to do next**",
    "**How to silence**",
    "**False alarms.**",
)
SAFE = ("get", "describe", "logs")  # what a command may do that is copied at 3 a.m.
SILENCE = (
    "amtool silence add alertname={alert}{labels} --duration=8h "
    '--comment="WHY" --alertmanager.url=http://localhost:9093'
)
# what our labels are on; a ModelDeployment has its user's, a Lease none, so a selector finds neither
LABELLED = {"pods", "pvc"}
SELECTED = re.compile(r"\b(?:get|describe) (\S+) (?:[^`\n]* )?--selector ")
LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
STANDS_FOR = {"namespace": "NAMESPACE", "deployment": "DEPLOYMENT"}

Rule = Mapping[str, Any]


def lacks(
    rule: Rule,
    *,
    runbook: str | None,
    dashboards: Mapping[str, set[str]],
    tests: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return what the alert lacks: `dashboards` has the variables of each by its uid, `tests` are
    promtool's."""
    said = rule["annotations"]
    missing = [f"no {name}" for name in SAID if not said.get(name)]
    if missing:
        return missing
    return [
        *_labels(rule),
        *_sentences(rule["alert"], said),
        *_commands(rule["alert"], said),
        *_dashboard(said["dashboard_url"], dashboards),
        *_runbook(rule["alert"], said, runbook),
        *_tests(rule["alert"], tests),
    ]


def _labels(rule: Rule) -> list[str]:
    severity = rule.get("labels", {}).get("severity")
    found = [] if severity in ("page", "ticket") else [f"severity {severity}"]
    return found if "for" in rule else [*found, "no for"]


def _sentences(alert: str, said: Mapping[str, str]) -> list[str]:
    found = [f"{name} is not known" for name in said if name not in SAID]
    if "$value" not in said["description"] and "| query" not in said["description"]:
        found.append("no evidence in its description")
    if not said["runbook_url"].endswith(f"/manifests/monitoring/runbooks/{alert}.md"):
        found.append("a runbook of another name")
    return found


def _commands(alert: str, said: Mapping[str, str]) -> list[str]:
    verb = re.sub(r"--namespace (\{\{[^}]*\}\}|\S+) ", "", said["next"]).split()[:2]
    found = [] if verb[0] == "kubectl" and verb[1] in SAFE else [f"next is not safe: {verb}"]
    labels = "".join(f" {name}={{{{ $labels.{name} }}}}" for name in LABEL.findall(said["silence"]))
    found += _selected(said["next"])
    if said["silence"] != SILENCE.format(alert=alert, labels=labels):
        found.append("another silence")
    return found


def _selected(text: str) -> list[str]:
    """Return the kinds that are asked for by labels that they do not have."""
    asked = {kind for kinds in SELECTED.findall(text) for kind in kinds.split(",")}
    return [f"a selector of {kind}" for kind in sorted(asked - LABELLED)]


def _dashboard(url: str, dashboards: Mapping[str, set[str]]) -> list[str]:
    address = urlparse(url)
    known = dashboards.get(address.path.rsplit("/", 1)[-1])
    if known is None:
        return [f"no dashboard {address.path}"]
    given = {name.removeprefix("var-") for name in parse_qs(address.query)}
    return [f"the dashboard has no variable {name}" for name in sorted(given - known)]


def _runbook(alert: str, said: Mapping[str, str], text: str | None) -> list[str]:
    if text is None:
        return ["no runbook"]
    places = [text.find(part) for part in PARTS]
    if not text.startswith(f"# {alert}\n") or -1 in places or places != sorted(places):
        return [f"a runbook without {', then '.join(PARTS)}"]
    silence = LABEL.sub(lambda label: STANDS_FOR[label[1]], said["silence"])
    found = [] if silence in text[places[3] : places[4]] else ["another silence in its runbook"]
    found += _selected(text)
    return found if "kubectl" in text[places[2] : places[3]] else [*found, "no command"]


def _tests(alert: str, tests: Sequence[Mapping[str, Any]]) -> list[str]:
    asked = [case for test in tests for case in test["alert_rule_test"]]
    found = [f"a test of {case['alertname']}" for case in asked if case["alertname"] != alert]
    fires = [any(case["exp_alerts"] for case in test["alert_rule_test"]) for test in tests]
    return found + [
        f"no test that it {what}"
        for wanted, what in ((True, "fires"), (False, "stays silent"))
        if wanted not in fires
    ]
