"""Every query of every dashboard and every rule, asked of a real Prometheus that holds every series."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.alerts import made, series, served

pytestmark = pytest.mark.cluster  # where Debian's Prometheus is
VARIABLES = {
    "$__rate_interval": "5m",
    "$namespace": "models",
    "$deployment": "income",
    " offset 1d": " offset 1h",  # of the three hours that there are
    " offset 1w": " offset 2h",
}
QUERIES = [
    pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['refId']}")
    for path in series.DASHBOARDS
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
    for target in panel.get("targets", ())
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a Prometheus with three hours of every series, and what the rules record of them."""
    folder = tmp_path_factory.mktemp("prometheus")
    blocks = folder / "blocks"
    (folder / "series.txt").write_text(made.text(), encoding="utf-8")
    promtool("tsdb", "create-blocks-from", "openmetrics", folder / "series.txt", blocks)
    for _ in range(2):  # what is recorded of what is recorded
        with served.prometheus(folder) as running:
            promtool(
                *("tsdb", "create-blocks-from", "rules", f"--start={made.BEGAN}"),
                *(f"--end={made.END}", f"--url={running.base_url}", "--eval-interval=1m"),
                *(f"--output-dir={blocks}", *series.RULES),
            )
    with served.prometheus(folder) as running:
        yield running


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [served.program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def asked(prometheus: httpx.Client, query: str) -> list[dict]:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    answer = prometheus.get("/api/v1/query", params={"query": query, "time": made.END}).json()
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_has_rows_where_its_series_are_there(prometheus, query):
    found = asked(prometheus, query)
    assert found
    assert not any(row["value"][1] == "NaN" for row in found if "histogram_quantile" not in query)


def test_a_query_of_what_nobody_counts_has_no_rows(prometheus):
    """The test above could not fail otherwise."""
    assert asked(prometheus, 'fairway_rollout_phase{phase="Nowhere"}') == []


@pytest.mark.parametrize(
    "name", [rule["record"] for _, rule in series.groups() if "record" in rule]
)
def test_a_recorded_series_is_recorded_with_the_labels_that_are_told(prometheus, name):
    found = asked(prometheus, name)
    assert found
    assert {label for row in found for label in row["metric"]} - {"__name__"} == series.exported()[
        name
    ] - (series.TARGET - {"namespace"})


@pytest.mark.parametrize("alert", series.alerts())
def test_a_rule_is_answered_without_an_error(prometheus, alert):
    _, rule = series.alerts()[alert]
    asked(prometheus, rule["expr"])
