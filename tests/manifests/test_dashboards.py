"""The dashboards: each query reads what is exported, is PromQL, and says what it shows."""

import itertools
import json
import re
import shutil
import subprocess

import pytest
import yaml

from manifests import dashboards
from tests.alerts import series

DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in series.DASHBOARDS}
WATCHED = (
    "fairway_monitoring_label",
    "fairway_monitoring_ticket",
    "fairway_retraining_",
    "fairway:",
)
UNSHOWN = {  # in a recorded series that is shown, or a part of a histogram that is
    "fairway_monitoring_ticket_shift",
    "fairway_retraining_loss_limit",
    "fairway_monitoring_label_delay_seconds_sum",
    "fairway_monitoring_label_delay_seconds_count",
}
VARIABLES = {"$__rate_interval": "5m", "$namespace": "models", "$deployment": "income"}


@pytest.fixture(params=DASHBOARDS.values(), ids=DASHBOARDS)
def dashboard(request):
    return request.param


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard):
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def test_there_is_one_of_each_and_it_is_what_the_code_writes():
    assert DASHBOARDS.keys() == {"serving", "rollouts", "drift", "labels", "fleet"}
    for path, text in dashboards.files(series.MONITORING / "dashboards"):
        assert path.read_text(encoding="utf-8") == text


def test_every_query_reads_what_is_exported(dashboard):
    known = series.exported()
    assert [found for query in queries(dashboard) if (found := series.mistakes(query, known))] == []


def test_a_query_of_what_nobody_exports_is_found():
    known = series.exported()
    assert series.mistakes('sum(rate(fairway_serving_requests{cod="1"}[5m]))', known) == [
        "fairway_serving_requests is exported by nobody"
    ]
    assert series.mistakes('fairway_rollout_phase{fase="Canary"}', known) == [
        "fairway_rollout_phase has no label fase"
    ]


def test_every_series_of_rollouts_is_on_the_dashboard_of_rollouts():
    shown = " ".join(queries(DASHBOARDS["rollouts"]))
    assert [
        name
        for name in series.exported()
        if name.startswith("fairway_rollout_") and name not in shown
    ] == []


def test_every_series_of_the_monitor_of_labels_and_of_retraining_is_on_a_dashboard():
    shown = " ".join(query for dashboard in DASHBOARDS.values() for query in queries(dashboard))
    names = [name for name in series.exported() if name.startswith(WATCHED)]
    assert [name for name in names if name not in shown and name not in UNSHOWN] == []


def test_variables_are_those_that_the_dashboard_has(dashboard):
    named = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$(?:\{)?([a-z]\w*)", json.dumps(dashboard)))
    assert used <= named | {"__rate_interval"}


def test_panels_do_not_overlap_and_have_a_title_and_a_unit(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = set(
            itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        )
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(
        panel["title"] and panel["fieldConfig"]["defaults"]["unit"] and panel["targets"]
        for panel in panels(dashboard)
    )
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.cluster  # where Debian's Prometheus is
def test_every_query_is_promql(dashboard, tmp_path):
    promtool = shutil.which("promtool")
    assert promtool is not None, (
        "there is no promtool on PATH: it comes with Prometheus (Debian: apt-get install prometheus)"
    )
    rules = []
    for number, query in enumerate(queries(dashboard)):
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": query})
    (tmp_path / "queries.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8"
    )
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "queries.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
