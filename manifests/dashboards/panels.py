"""Grafana's JSON, from rows of panels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# what a query may leave to us: `{@}` selects the deployment that is chosen, `[rate]` fits the zoom
SHORT = {"@": 'namespace="$namespace", deployment="$deployment"', "[rate]": "[$__rate_interval]"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "timeseries": {},
    "table": {},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
    "state-timeline": {
        "mergeValues": True,
        "showValue": "never",
        "legend": {"showLegend": True},
    },
}


def rate(name: str, *, by: str = "", of: str = "@", over: str = "rate") -> str:
    """Return the query of a counter's rate, summed by labels."""
    return f"{_sum(by)}(rate({name}{_of(of)}[{over}]))"


def increase(name: str, *, by: str = "", of: str = "@", over: str) -> str:
    """Return the query of a counter's increase, summed by labels."""
    return f"{_sum(by)}(increase({name}{_of(of)}[{over}]))"


def quantile(part: float, name: str, *, by: str = "", of: str = "@", over: str = "rate") -> str:
    """Return the query of a histogram's quantile by labels."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({part}, {rate(f'{name}_bucket', by=labels, of=of, over=over)})"


def worst(query: str) -> str:
    """Return the query of the ten largest."""
    return f"topk(10, {query})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _of(of: str) -> str:
    return f"{{{of}}}" if of else ""


@dataclass(frozen=True)
class Panel:
    """One picture: queries by their legend."""

    title: str
    description: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"


@dataclass(frozen=True)
class Row:
    """Panels side by side, as many as there are share the width."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One page; `choices` names the series whose labels may be chosen, None for a page of all."""

    name: str
    title: str
    choices: str | None
    rows: Sequence[Row] = field(default_factory=tuple)


def written(dashboard: Dashboard) -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in dashboard.rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        head = {"title": row.title, "type": "row", "collapsed": False, "panels": []}
        panels.append({"id": len(panels) + 1, **head, "gridPos": place})
        width = WIDTH // len(row.panels)
        for number, panel in enumerate(row.panels):
            place = {"h": HEIGHT, "w": width, "x": number * width, "y": top + 1}
            panels.append({"id": len(panels) + 1, **_panel(panel), "gridPos": place})
        top += 1 + HEIGHT
    return {
        "uid": f"fairway-{dashboard.name}",
        "title": f"fairway / {dashboard.title}",
        "tags": ["fairway"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables(dashboard.choices)},
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    table = {"format": "table", "instant": True} if panel.kind == "table" else {}
    found: dict[str, Any] = {
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": SOURCE,
        "targets": [
            {
                "datasource": SOURCE,
                "expr": _whole(query),
                "legendFormat": legend,
                "refId": chr(ord("A") + number),
                **table,
            }
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": dict(OPTIONS[panel.kind]),
    }
    if table:
        organised = {"excludeByName": {"Time": True}}
        found["transformations"] = [{"id": "organize", "options": organised}]
    return found


def _whole(query: str) -> str:
    for short, long in SHORT.items():
        query = query.replace(short, long)
    return query


def _variables(choices: str | None) -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "hide": 0}
    found: list[dict[str, Any]] = [{**source, "label": "Prometheus"}]
    if choices is None:
        return found
    for label, within in (("namespace", ""), ("deployment", '{namespace="$namespace"}')):
        query = f"label_values({choices}{within}, {label})"
        found.append({"name": label, "type": "query", "datasource": SOURCE, "query": query})
        found[-1] |= {"refresh": 2, "sort": 1}
    return found
