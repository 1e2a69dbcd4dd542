"""Three hours of every series, in the text that Prometheus makes blocks of: what a busy fleet of three
deployments would have been scraped as."""

import itertools
import random
from collections.abc import Iterator

from docs.pages import metrics
from tests.alerts import series

END = 1_800_000_000  # seconds since the epoch
BEGAN = END - 3 * 3600
STEP = 60
VALUES = {  # of labels; each combination is a series
    "namespace": ("models",),
    "deployment": ("income", "loan"),
    "revision": ("a1", "b2"),
    "role": ("stable", "canary"),
    "code": ("200", "503"),
    "le": ("0.5", "1.0", "+Inf"),
    "phase": ("Stable", "Canary"),
    "verdict": ("HOLD", "PROMOTE"),
    "cause": ("fault", "aborted"),
    "reason": ("full", "queue"),
    "type": ("prediction", "label"),
    "drifted": ("true", "false"),
    "feature": ("age", "hours"),
    "column": ("age",),
    "side": ("request", "response"),
    "error": ("DataError",),
    "class": ("cat", "dog"),
    "kind": ("covariate",),
    "part": ("age mean", "hours share of 0"),
    "unit": ("sd",),
    "outcome": ("started", "failed", "succeeded"),
    "shard": ("0", "1"),
    "loop": ("upkeep",),
    "envoy_cluster_name": ("httproute/models/income/rule/0/0", "httproute/models/loan/rule/0/0"),
    "envoy_response_code_class": ("2", "5"),
    "alertname": ("DriftTicket",),
    "alertstate": ("firing",),
    "severity": ("ticket",),
    "job": ("fairway-collector",),
}


def text() -> str:
    """Return the series in OpenMetrics."""
    chance = random.Random(8)
    found = []
    for name, (kind, labels) in sorted(families().items()):
        found.append(f"# TYPE {name} {kind}")
        for values in itertools.product(*(VALUES[label] for label in labels)):
            pairs = ",".join(
                f'{label}="{value}"' for label, value in zip(labels, values, strict=True)
            )
            found += samples(f"{name}{{{pairs}}}", name, kind, chance)
    return "\n".join([*found, "# EOF", ""])


def families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return kind and labels of each series that something scrapes or Prometheus itself makes."""
    declared = {one.name: one.kind for file in series.SOURCES for one in metrics.declared(file)}
    made = {rule["record"] for _, rule in series.groups() if "record" in rule}
    wanted = {}
    for name, labels in series.exported().items():
        if name in made:
            continue
        own = labels - series.TARGET | labels & {"namespace"}
        if name == "up":
            own = {"namespace", "job"}
        kind = "gauge" if declared.get(name) == "gauge" or name in ("up", "ALERTS") else "unknown"
        wanted[name] = kind, tuple(sorted(own))
    return wanted


def samples(selector: str, name: str, kind: str, chance: random.Random) -> Iterator[str]:
    """Give one value a minute: a time is the past minute's, a counter rises, a gauge is 1."""
    value = 0.0
    for at in range(BEGAN, END + 1, STEP):
        if name.endswith("_timestamp_seconds"):
            value = at - 30.0
        elif kind == "gauge":
            value = 1.0
        else:
            value += chance.randint(1, 9)
        yield f"{selector} {value} {at}"
