"""The monitor on a cluster: what is usual is learnt from traffic, a shift is one ticket in a real
Alertmanager whoever watches, and an alert that fires trains one challenger."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.cluster import images, stack, watchers, world
from tests.cluster.cluster import Cluster
from tests.serving import support

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

NAME, TOKEN = "fleet", "a-token-of-the-tests"
MONITORING = {
    "scales": [50],
    "learn": {"rows": 1000, "duration": "0s"},
    "leastShift": {"sd": 0.1},
}
LOOP = {"cronJob": "train", "coolDown": "1h"}
SYSTEM = "fairway-system"
CONCLUDED = """
import json, pathlib
from fairway.monitoring.eventstore import places
kept = places.to_read(pathlib.Path("/data/events.db")).conclusions
windows = [one["lastSeq"] for one in kept.drift("models/fleet", limit=100_000)]
alerts = [[one.name, one.resolved_at is None] for one in kept.alerts(deployment="models/fleet")]
print(json.dumps([windows, alerts]))
"""


class People:
    """Requests of people whose ages are bell-shaped, and older once the world has moved."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._rng, self._lock = np.random.default_rng(3), threading.Lock()

    def __call__(self, number: int) -> dict[str, Any]:
        with self._lock:
            age, hours = self._rng.normal([40 + 10 * self.shift, 40], 8)
            sector = str(self._rng.choice(["private", "state"]))
        return support.tensors([float(age)], [round(float(hours))], [sector])


def packaged(folder: Path, *, seed: int = 0) -> Any:
    """Return a package whose reference is what people are like."""
    from fairway.packaging import package

    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    rows = [
        {
            "age": float(rng.normal(40, 8)),
            "hours": float(rng.normal(40, 8)),
            "sector": str(rng.choice(["private", "state"])),
        }
        for _ in range(300)
    ]
    declared = {**support.SCHEMA, "reference": "reference.json"}
    declared["features"] = [
        {**feature, "range": [-200, 300]} if "range" in feature else feature
        for feature in support.SCHEMA["features"]
    ]
    (folder / "schema.json").write_text(json.dumps(declared))
    (folder / "reference.json").write_text(json.dumps(rows))
    model = support.onnx_model(folder / "model.onnx", seed=seed)
    return package.import_onnx(
        model, schema=folder / "schema.json", name="income", out=folder / "store"
    )


@pytest.fixture(scope="module")
def system(fairway: Cluster) -> Iterator[Cluster]:
    """Return the cluster with a monitor that takes alerts."""
    if fairway.folder is None:
        pytest.skip("another's cluster keeps the settings of its chart")
    secret = ("--namespace", SYSTEM, "create", "secret", "generic", "alerts")
    fairway.kubectl(*secret, f"--from-literal=token={TOKEN}", check=False)
    stack.install_fairway(fairway, "monitor.alerts.tokenSecret=alerts")
    yield fairway
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")
    stack.install_fairway(fairway)


@pytest.fixture(scope="module")
def alertmanager(
    system: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[watchers.Alertmanager]:
    selector = {"app.kubernetes.io/part-of": "fairway", "app.kubernetes.io/component": "monitor"}
    service = {  # at a port of the node: the tests run beside the cluster
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "monitor-of-tests", "namespace": SYSTEM},
        "spec": {"type": "NodePort", "selector": selector, "ports": [{"port": 8082}]},
    }
    made = system.kubectl(
        "apply", "--server-side", "--output=json", "--filename=-", input=yaml.safe_dump(service)
    )
    port = json.loads(made.stdout)["spec"]["ports"][0]["nodePort"]
    with watchers.watching(
        tmp_path_factory.mktemp("watching"), target=f"{system.address}:{port}", token=TOKEN
    ) as found:
        yield found
    system.kubectl("--namespace", SYSTEM, "delete", "service", "monitor-of-tests")


def until(true: Callable[[], Any], *, seconds: float = 120) -> Any:
    """Return what the condition gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds:.0f} s"
        time.sleep(0.25)
    return found


def monitoring(cluster: Cluster) -> dict[str, Any]:
    return dict(world.status(cluster, NAME).get("monitoring", {}))


def concluded(cluster: Cluster) -> tuple[list[int], list[list[Any]]]:
    """Return the windows and the alerts of the deployment, as the collector's store has them."""
    said = cluster.kubectl(
        "--namespace",
        SYSTEM,
        "exec",
        "deployment/fairway-collector",
        "--",
        "python",
        "-c",
        CONCLUDED,
    )
    windows, alerts = watchers.concluded(said.stdout)
    return windows, alerts


def end(cluster: Cluster, component: str) -> None:
    """End the first process of the component's pod, and wait until it runs again."""
    select = ("--namespace", SYSTEM, "--selector", f"app.kubernetes.io/component={component}")
    cluster.kubectl("delete", "pods", *select, "--grace-period=0", "--force")
    cluster.kubectl("wait", "pods", *select, "--for=condition=Ready", "--timeout=120s")


def moved(alert: dict[str, Any]) -> bool:
    """Say whether the alert has what moved, and how far."""
    said = alert["annotations"]["description"]
    return re.search(r"Moved: age (mean|spread) \(\w+\) by \+\d\.\d+ sd\.", said) is not None


def restart_collector(cluster: Cluster) -> None:
    """End the collector's process alone: its volume is the pod's."""
    argv = ("--namespace", SYSTEM, "exec", "deployment/fairway-collector", "--")
    cluster.kubectl(*argv, "python", "-c", "import os; os.kill(1, 15)", check=False)
    cluster.kubectl(
        "--namespace", SYSTEM, "rollout", "status", "deployment/fairway-collector", "--timeout=120s"
    )


def test_a_shift_is_one_ticket_whoever_watches_and_an_alert_trains_one_challenger(
    system: Cluster, alertmanager: watchers.Alertmanager, tmp_path: Path
) -> None:
    people = People()
    store = world.store(system)
    model = store.put(packaged(tmp_path / "a"))
    strategy = {
        "warmup": "1s",
        "shadow": {"enabled": False},
        "canary": {"steps": [{"weight": 50, "pause": True}]},
        "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
    }
    asked = world.resource(NAME, model, monitoring=MONITORING, retraining=LOOP, strategy=strategy)
    world.apply(system, asked)
    world.until(system, NAME, world.digest_in_service(model))
    with world.traffic(system, NAME, body=people, pause=0.04) as flowing:
        system.kubectl(
            "--namespace", world.NAMESPACE, "wait", "md", NAME, "--for=condition=Monitored",
            "--timeout=240s",
        )  # fmt: skip
        assert monitoring(system)["drift"] == "Usual"
        assert "Usual" in system.kubectl("--namespace", world.NAMESPACE, "get", "md", NAME).stdout

        # a canary whose answers are others opens none: they are not what is in service
        other = store.put(packaged(tmp_path / "b", seed=1))
        world.apply(system, {**asked, "spec": {**asked["spec"], "model": other}})
        world.until(system, NAME, lambda now: now.get("weight") == 50)
        windows = len(concluded(system)[0])
        until(lambda: len(concluded(system)[0]) >= windows + 15)
        assert monitoring(system)["drift"] == "Usual"
        world.apply(system, asked)
        world.until(system, NAME, world.rolled_back)  # superseded by what is in service

        people.shift = 2.0
        ticket = until(lambda: monitoring(system).get("ticket"))
        # the answers follow the ages, and may be told a window before them
        assert "age " in ticket["summary"] or "the answers moved" in ticket["summary"]
        # without the minute that the rule waits, it may fire before its evidence was recorded
        (alert,) = until(lambda: [one for one in alertmanager.alerts("DriftTicket") if moved(one)])
        assert alert["labels"]["deployment"] == NAME

        end(system, "monitor")
        restart_collector(system)
        stack.install_fairway(system, "monitor.alerts.tokenSecret=alerts", "monitor.shards=2")
        system.kubectl(
            "--namespace", SYSTEM, "rollout", "status", "deployment/fairway-monitor-1",
            "--timeout=120s",
        )  # fmt: skip
        seen = len(concluded(system)[0])
        until(lambda: len(concluded(system)[0]) >= seen + 5)
        windows_now, alerts = concluded(system)
        assert len(windows_now) == len(set(windows_now)), "a window was concluded about twice"
        assert alerts == [["InputDrift", True]]
        assert monitoring(system)["ticket"]["openedAt"] == ticket["openedAt"]
        (same,) = alertmanager.alerts("DriftTicket")
        assert same["startsAt"] == alert["startsAt"]
        assert flowing.failed == 0
    events = json.loads(
        system.kubectl("--namespace", world.NAMESPACE, "get", "events", "--output=json").stdout
    )["items"]
    told = [one for one in events if one["reason"] == "DriftTicketOpened"]
    assert len(told) == 1


def test_an_alert_that_fires_trains_one_challenger(
    system: Cluster, alertmanager: watchers.Alertmanager
) -> None:
    until(lambda: monitoring(system).get("drift"))  # of the test before
    stack.install_fairway(system, "monitor.alerts.tokenSecret=alerts")
    system.kubectl("apply", "--server-side", "--filename=-", input=yaml.safe_dump_all(loop()))
    fire = {"alertname": "RealisedQualityBurn", "namespace": world.NAMESPACE, "deployment": NAME}

    def jobs() -> list[dict[str, Any]]:
        found = system.kubectl(
            "--namespace",
            world.NAMESPACE,
            "get",
            "jobs",
            "--selector",
            f"fairway.dev/deployment={NAME}",
            "--output=json",
        )
        return list(json.loads(found.stdout)["items"])

    def fired() -> list[dict[str, Any]]:
        alertmanager.fire(**fire)
        return jobs()

    until(fired)
    until(lambda: monitoring(system).get("retraining", {}).get("outcome") == "Succeeded")
    end(system, "monitor")
    before = alertmanager.told()

    def told_again() -> bool:
        alertmanager.fire(**fire)
        return alertmanager.told() >= before + 5  # it says it again every 2 seconds

    until(told_again)
    (job,) = jobs()
    assert job["metadata"]["annotations"]["fairway.dev/reason"] == "alert RealisedQualityBurn fires"
    assert job["metadata"]["ownerReferences"][0]["name"] == "train"
    pods = ("--namespace", world.NAMESPACE, "logs", f"job/{job['metadata']['name']}")
    assert f"{NAME} alert RealisedQualityBurn fires" in system.kubectl(*pods).stdout


def test_labels_of_what_a_cluster_served_are_drawn_by_its_collector(
    system: Cluster, alertmanager: watchers.Alertmanager
) -> None:
    until(lambda: monitoring(system).get("drift"))  # of the first test
    place = (
        "--on=kubernetes",
        f"--namespace={world.NAMESPACE}",
        f"--collector=http://fairway-collector.{SYSTEM}.svc:8080",
        "--collector-token=/var/run/secrets/fairway.dev/collector/token",
        "--output=json",
    )

    def called(*verb: str) -> Any:
        argv = ("exec", "deployment/fairway-monitor-0", "--", "fairway", *verb, NAME, *place)
        return json.loads(system.kubectl("--namespace", SYSTEM, *argv).stdout)

    drawn = called("labels", "sample", "--count=50")
    assert drawn["revision"] == world.status(system, NAME)["stable"]["revision"]
    assert 20 < len(drawn["drawn"]) < 90
    assert set(drawn["drawn"][0]["inputs"]) == {"age", "hours", "sector"}
    (kept,) = called("labels", "quality")["samples"]
    assert (kept["drawn"], kept["labelled"]) == (len(drawn["drawn"]), 0)
    assert called("monitor", "loops")["requests"]["now"] > 1_000


def test_a_package_is_held_against_what_a_cluster_served_by_its_collector(
    system: Cluster, alertmanager: watchers.Alertmanager, tmp_path: Path
) -> None:
    until(lambda: monitoring(system).get("drift"))  # of the first test
    account = ("create", "token", "fairway-monitor", "--audience=fairway-collector")
    token = tmp_path / "token"
    token.write_text(system.kubectl("--namespace", SYSTEM, *account).stdout)
    reference = str(packaged(tmp_path / "a").path)
    with system.forwarded(SYSTEM, "service/fairway-collector", 8080) as url:
        place = ("--on=kubernetes", f"--namespace={world.NAMESPACE}", f"--collector={url}")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fairway", "drift", reference, f"{NAME}@500", *place),
                *(f"--collector-token={token}", "--output=json"),
            ],
            env={**os.environ, "KUBECONFIG": str(system.kubeconfig)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["drift"]
    assert "age" in record["moved"]  # people are older since the first test
    assert record["after"]["rows"] == 500
    stable = world.status(system, NAME)["stable"]["revision"]
    assert record["after"]["of"].startswith(f"revision {stable} from ")


def loop() -> list[dict[str, Any]]:
    """Return what a team makes so that runs may begin: a CronJob that never runs by itself, and the
    monitor's right to make Jobs of it."""
    say = "import os; print(os.environ['FAIRWAY_DEPLOYMENT'], os.environ['FAIRWAY_REASON'])"
    container = {
        "name": "run",
        "image": f"fairway/operator:{images.tag()}",
        "command": ["python", "-c", say],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    template = {
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    }
    place = {"namespace": world.NAMESPACE}
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "train", **place},
            "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "fairway-retraining", **place},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "fairway-retraining",
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": "fairway-monitor", "namespace": SYSTEM}
            ],
        },
    ]


def test_the_monitor_may_write_its_part_of_the_status_alone(system: Cluster) -> None:
    argv = ("--namespace", world.NAMESPACE)
    now = json.loads(system.kubectl(*argv, "get", "md", NAME, "--output=json").stdout)
    now["status"]["phase"] = "Paused"
    done = system.kubectl(
        *argv,
        f"--as=system:serviceaccount:{SYSTEM}:fairway-monitor",
        "replace",
        "--subresource=status",
        "--filename=-",
        input=json.dumps(now),
        check=False,
    )
    assert done.returncode != 0
    assert "status.phase, which is the operator's" in done.stderr


def test_a_shift_that_people_accept_closes_its_ticket_and_is_learnt_anew(
    system: Cluster, alertmanager: watchers.Alertmanager
) -> None:
    ticket = until(lambda: monitoring(system).get("ticket"))  # of the first test
    argv = (
        *("exec", "deployment/fairway-monitor-0", "--", "fairway", "monitor", "accept", NAME),
        *("--why=a campaign", "--who=ana", "--on=kubernetes", f"--namespace={world.NAMESPACE}"),
        f"--collector=http://fairway-collector.{SYSTEM}.svc:8080",
        *("--collector-token=/var/run/secrets/fairway.dev/collector/token", "--output=json"),
    )
    made = json.loads(system.kubectl("--namespace", SYSTEM, *argv).stdout)
    assert made["revision"] == world.status(system, NAME)["stable"]["revision"]
    assert made["ticket"]["kind"] == ticket["kind"]
    until(lambda: monitoring(system)["drift"] == "Learning", seconds=50)
    assert "ticket" not in monitoring(system)
    conditions = world.status(system, NAME)["conditions"]
    (said,) = [one["message"] for one in conditions if one["type"] == "Monitored"]
    assert said.endswith("; accepted by ana: a campaign")
    assert [one for one in concluded(system)[1] if one[0] == "InputDrift"] == [
        ["InputDrift", False]
    ]
    events = system.kubectl("--namespace", world.NAMESPACE, "get", "events", "--output=json").stdout
    assert [one["reason"] for one in json.loads(events)["items"]].count("DriftAccepted") == 1
