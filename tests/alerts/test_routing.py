"""Where alerts go, which are held back, and whether the command to silence one does: asked of amtool
and of a real Alertmanager."""

import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml

from manifests import alerting
from tests.alerts import series, served

HERE = Path(__file__).parent
ALERTS = series.alerts()
CONFIG = alerting.MONITORING / "alertmanager.yml"
INCOME = {"namespace": "models", "deployment": "income"}
LOAN = {"namespace": "models", "deployment": "loan"}
SYSTEM = {"namespace": "fairway-system"}


def fired(alert: str) -> list[tuple[dict[str, str], str]]:
    """Return the labels of the alert as its tests have it fire, with its command to silence it."""
    tests = yaml.safe_load((HERE / f"{alert}.yaml").read_text(encoding="utf-8"))["tests"]
    found = [
        (one["exp_labels"], one["exp_annotations"]["silence"])
        for test in tests
        for case in test["alert_rule_test"]
        for one in case["exp_alerts"]
    ]
    return [({"alertname": alert, **labels}, command) for labels, command in found]


def test_the_files_are_what_the_code_writes():
    assert CONFIG.read_text(encoding="utf-8") == alerting.file_text(alerting.MONITORING)


def test_inhibitions_name_alerts_that_there_are_and_none_holds_itself_back():
    for one in alerting.INHIBITIONS:
        assert {*one.sources, *one.targets} <= ALERTS.keys()
        assert not {*one.sources} & {*one.targets}
        for name in (*one.sources, *one.targets) if one.of == alerting.GROUPED else ():
            [labels, _], *_ = fired(name)
            assert set(one.of) <= labels.keys()


def test_no_page_is_held_back_by_a_ticket():
    severity = {name: rule["labels"]["severity"] for name, (_, rule) in ALERTS.items()}
    for one in alerting.INHIBITIONS:
        if any(severity[name] == "page" for name in one.targets):
            assert {severity[name] for name in one.sources} == {"page"}


@pytest.mark.cluster  # where Debian's Alertmanager is
def test_alertmanager_takes_the_file():
    done = amtool("check-config", str(CONFIG))
    assert "SUCCESS" in done


@pytest.mark.cluster
@pytest.mark.parametrize("alert", ALERTS)
def test_pages_and_tickets_go_their_ways_and_quality_to_retraining_too(alert):
    [labels, _], *_ = fired(alert)
    wanted = {"page": alerting.PAGE, "ticket": alerting.TICKET}[labels["severity"]]
    also = f"{alerting.RETRAINING}," if alert == alerting.QUALITY else ""
    assert receivers(labels) == f"{also}{wanted}"


@pytest.mark.cluster
def test_what_is_not_ours_goes_elsewhere():
    assert receivers({"alertname": "KubePodCrashLooping", "severity": "page"}) == alerting.OTHERS


def receivers(labels: Mapping[str, str]) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip()


def amtool(*arguments: str) -> str:
    command = [served.program("amtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with served.alertmanager(folder, config=CONFIG) as client:
        yield client


@pytest.fixture
def alertmanager(running: httpx.Client) -> Iterator[httpx.Client]:
    """Give an Alertmanager, and end what a test left open."""
    yield running
    for alert in shown(running):
        tell(running, alert["labels"], over=True)
    for silence in running.get("/api/v2/silences").json():
        running.delete(f"/api/v2/silence/{silence['id']}")
    until(lambda: not shown(running))


def shown(client: httpx.Client) -> list[dict]:
    return list(client.get("/api/v2/alerts").json())


def tell(client: httpx.Client, *alerts: Mapping[str, str], over: bool = False) -> None:
    """Tell of alerts as Prometheus does: that they fire, or are over."""
    now = time.time()
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 1 if over else now + 600))
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 60))
    body = [{"labels": dict(one), "startsAt": starts, "endsAt": ends} for one in alerts]
    assert client.post("/api/v2/alerts", json=body).status_code == 200


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def held(client: httpx.Client, status: str = "inhibitedBy") -> set[tuple[str, str]]:
    return {
        (alert["labels"]["alertname"], alert["labels"].get("deployment", ""))
        for alert in shown(client)
        if alert["status"][status]
    }


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("open_alerts", "expected"),
    [
        pytest.param(
            [("RealisedQualityBurn", INCOME), ("DriftTicket", INCOME), ("DriftTicket", LOAN)],
            {("DriftTicket", "income")},
            id="quality holds back drift of the same deployment",
        ),
        pytest.param(
            [("PayloadLoss", LOAN), ("DriftTicket", INCOME), ("DriftTicket", LOAN)],
            {("DriftTicket", "loan")},
            id="so do events that are lost",
        ),
        pytest.param(
            [("MonitorStale", SYSTEM), ("DriftTicket", INCOME), ("RealisedQualityBurn", LOAN)],
            {("DriftTicket", "income")},
            id="a monitor that does not look holds back drift, and no page",
        ),
        pytest.param(
            [
                ("ServingDown", INCOME),
                ("ServingErrorBudgetBurn", INCOME),
                ("ServingLatencyBudgetBurn", LOAN),
            ],
            {("ServingErrorBudgetBurn", "income")},
            id="who serves nobody burns no budget",
        ),
        pytest.param(
            [("CollectorDown", SYSTEM), ("SampleStarvation", INCOME), ("PayloadLoss", LOAN)],
            {("SampleStarvation", "income"), ("PayloadLoss", "loan")},
            id="a collector that is away explains what is lost",
        ),
        pytest.param(
            [("DriftTicket", INCOME), ("LabelDelay", INCOME), ("ChallengerWaiting", INCOME)],
            set(),
            id="what explains nothing holds nothing back",
        ),
    ],
)
def test_what_another_alert_explains_is_held_back(alertmanager, open_alerts, expected):
    alerts = [
        {"alertname": name, "severity": ALERTS[name][1]["labels"]["severity"], **labels}
        for name, labels in open_alerts
    ]
    tell(alertmanager, *alerts)
    until(lambda: len(shown(alertmanager)) == len(alerts) and held(alertmanager) == expected)


@pytest.mark.cluster
@pytest.mark.parametrize("alert", ALERTS)
def test_the_command_to_silence_an_alert_silences_it_and_no_other_deployments(alertmanager, alert):
    labels, command = fired(alert)[-1]
    other = {**labels, "deployment": "another"}
    tell(alertmanager, labels, other)
    words = shlex.split(command.replace("http://localhost:9093", str(alertmanager.base_url)))
    assert words[0] == "amtool"
    amtool(*words[1:])
    silenced = {(alert, labels.get("deployment", ""))}
    if "deployment=" not in command:
        silenced.add((alert, "another"))
    until(lambda: held(alertmanager, "silencedBy") == silenced)
