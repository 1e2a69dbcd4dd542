"""Where alerts go and which are held back, from one source: a plain file for Alertmanager, and the
AlertmanagerConfig of prometheus-operator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).resolve().parent / "monitoring"
NOTE = (
    "# Written by manifests/generate.py from manifests/alerting.py: change that, not this file.\n"
)
FILE_NOTE = f"""{NOTE}# A whole configuration. Into yours go its one route, its receivers (say there how a message is
# sent) and its inhibitions.
"""
PAGE, TICKET, RETRAINING = "fairway-page", "fairway-ticket", "fairway-retraining"
OTHERS = "others"  # whatever is not ours
GROUPED = ("namespace", "deployment")  # one message for all that happens to a deployment
QUALITY = "RealisedQualityBurn"


@dataclass(frozen=True, kw_only=True)
class Inhibition:
    """Alerts that are held back while others are open, of the same labels `of`; everywhere where there
    are none."""

    sources: Sequence[str]
    targets: Sequence[str]
    of: Sequence[str] = GROUPED


INHIBITIONS = (
    # who serves nobody has no rate of errors to speak of
    Inhibition(
        sources=("ServingDown",),
        targets=(
            "ServingErrorBudgetBurn",
            "ServingLatencyBudgetBurn",
            "ServingSilent",
            "SampleStarvation",
        ),
    ),
    # the page has the ticket's parts; and what is lost or not sampled is no picture of the world
    Inhibition(
        sources=(QUALITY, "PayloadLoss", "SampleStarvation"),
        targets=("DriftTicket",),
    ),
    Inhibition(sources=("ServingSilent",), targets=("LabelDelay",)),
    # shards know no deployment: what is told while one does not look may be of long ago
    Inhibition(
        sources=("MonitorStale", "ShardWithoutLeader"),
        targets=("DriftTicket", "DriftWindowFailed", "SilentFailure"),
        of=(),
    ),
    Inhibition(sources=("ShardWithoutLeader",), targets=("MonitorStale",), of=("namespace",)),
    # one cause for all of these
    Inhibition(
        sources=("CollectorDown",),
        targets=(
            "PayloadLoss",
            "SampleStarvation",
            "LabelDelay",
            "LabelsUnjoined",
            "MonitorFailing",
        ),
        of=(),
    ),
)


def file_text(monitoring: Path) -> str:
    """Return alertmanager.yml, which Alertmanager reads as it is."""
    ours = _route(names(monitoring))
    whole = {
        "route": {"receiver": OTHERS, "routes": [ours]},
        "receivers": [{"name": name} for name in (OTHERS, TICKET, PAGE, RETRAINING)],
        "inhibit_rules": [
            {
                "source_matchers": [_matcher(one.sources)],
                "target_matchers": [_matcher(one.targets)],
                **({"equal": list(one.of)} if one.of else {}),
            }
            for one in INHIBITIONS
        ],
    }
    return FILE_NOTE + _text(whole)


def config_text(monitoring: Path) -> str:
    """Return the spec of an AlertmanagerConfig without its receivers, which are the chart's values."""
    spec = {
        "route": _renamed(_route(names(monitoring))),
        "inhibitRules": [
            {
                "sourceMatch": [_match(one.sources)],
                "targetMatch": [_match(one.targets)],
                **({"equal": list(one.of)} if one.of else {}),
            }
            for one in INHIBITIONS
        ],
    }
    return _text(spec)


def names(monitoring: Path) -> list[str]:
    """Return the name of every alert."""
    return sorted(set(_names(monitoring)))


def _names(monitoring: Path) -> Iterator[str]:
    for file in sorted((monitoring / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            yield from (rule["alert"] for rule in group["rules"] if "alert" in rule)


def _route(alerts: Sequence[str]) -> dict[str, Any]:
    """Return the route of our alerts: tickets once a day, pages every four hours until they end, and
    what retraining may begin by to its webhook as well."""
    page = {"receiver": PAGE, "matchers": ["severity = page"]}
    return {
        "receiver": TICKET,
        "matchers": [_matcher(alerts)],
        "group_by": list(GROUPED),
        "group_wait": "30s",  # what one cause brings is one message
        "group_interval": "5m",
        "repeat_interval": "1d",
        "routes": [
            {"receiver": RETRAINING, "matchers": [_matcher([QUALITY])], "continue": True},
            {**page, "group_wait": "10s", "repeat_interval": "4h"},
        ],
    }


def _matcher(alerts: Sequence[str]) -> str:
    return f"alertname = {alerts[0]}" if len(alerts) == 1 else f'alertname =~ "{"|".join(alerts)}"'


def _match(alerts: Sequence[str]) -> dict[str, str]:
    kind = "=" if len(alerts) == 1 else "=~"
    return {"name": "alertname", "matchType": kind, "value": "|".join(alerts)}


def _renamed(route: dict[str, Any]) -> dict[str, Any]:
    """Return a route as the custom resource writes it."""
    found: dict[str, Any] = {}
    for key, value in route.items():
        head, *rest = key.split("_")
        found[head + "".join(word.capitalize() for word in rest)] = value
    found["matchers"] = [_parsed(one) for one in route["matchers"]]
    if "routes" in route:
        found["routes"] = [_renamed(one) for one in route["routes"]]
    return found


def _parsed(matcher: str) -> dict[str, str]:
    name, kind, value = matcher.split(" ", 2)
    return {"name": name, "matchType": kind, "value": value.strip('"')}


def _text(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=140)
