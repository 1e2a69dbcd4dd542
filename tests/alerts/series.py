"""What rules and dashboards may read: the series that fairway exports, those of Envoy, and what a
query names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from docs.pages import metrics
from fairway.platforms.kubernetes import scrapes

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "manifests" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
SOURCES = sorted((ROOT / "src" / "fairway").rglob("*.py"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))

ENVOY = {
    scrapes.COMPLETED: {"envoy_cluster_name"},
    scrapes.ERRORS: {"envoy_cluster_name", "envoy_response_code_class"},
    scrapes.TIMES: {"envoy_cluster_name", "le"},
}
TARGET = {"namespace", "pod", "job", "instance"}  # what a scrape adds to every series
ALERTS = {"alertname", "alertstate", "severity", "namespace", "deployment"}  # Prometheus' own
NAME = re.compile(r"\b(?:fairway|envoy)[_:][a-z0-9_:]*[a-z0-9]|\bup\b|\bALERTS\b")
GROUPED_BY = re.compile(r"\bby\s*\(([^)]*)\)")
GROUPED = re.compile(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
SELECTED = re.compile(r"((?:fairway|envoy)[_:][a-z0-9_:]*[a-z0-9]|\bup|\bALERTS)\{([^}]*)\}")
MATCHERS = re.compile(r"\{[^}]*\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def groups() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Return each rule with its file."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from ((path, rule) for rule in group["rules"])


def alerts() -> dict[str, tuple[Path, dict[str, Any]]]:
    return {rule["alert"]: (path, rule) for path, rule in groups() if "alert" in rule}


def recorded(rule: dict[str, Any]) -> set[str]:
    """Return the labels of what a rule records: those that its first sum is by."""
    by = GROUPED_BY.search(rule["expr"])
    assert by is not None, rule["record"]
    return {label.strip() for label in by[1].split(",")}


def exported() -> dict[str, set[str]]:
    """Return the labels of every series by its name, as docs/pages/metrics.py reads them from the code."""
    found = {
        "up": set(),
        "ALERTS": ALERTS,
        **ENVOY,
        **{rule["record"]: recorded(rule) for _, rule in groups() if "record" in rule},
    }
    for file in SOURCES:
        for one in metrics.declared(file):
            labels = set(one.labels)
            found |= (
                {
                    f"{one.name}_bucket": {*labels, "le"},
                    f"{one.name}_sum": labels,
                    f"{one.name}_count": labels,
                }
                if one.kind == "histogram"
                else {one.name: labels}
            )
    return {name: labels | TARGET for name, labels in found.items()}


def mistakes(expression: str, known: dict[str, set[str]]) -> list[str]:
    """Return what a query names that nobody exports."""
    plain = GROUPED.sub("", QUOTED.sub('""', expression))
    unknown = [
        f"{name} is exported by nobody"
        for name in NAME.findall(MATCHERS.sub("{}", plain))
        if name not in known
    ]
    labels = [
        f"{name} has no label {label}"
        for name, selector in SELECTED.findall(plain)
        for label in MATCHER.findall(selector)
        if label not in known.get(name, {label})
    ]
    return unknown + labels
