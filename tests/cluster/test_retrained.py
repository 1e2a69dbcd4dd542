"""From an alert to a rollout on a cluster: a real Alertmanager says that quality falls, the monitor makes
one Job, the Job trains a challenger from the bucket's rows, and users are answered while it is rolled out."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import driver, images, watchers, world
from tests.cluster.cluster import Cluster
from tests.cluster.test_fleet import SYSTEM, alertmanager, system, until  # noqa: F401 - fixtures
from tests.cluster.test_pipelines import (  # noqa: F401 - fixtures
    ACCOUNT,
    bucket,
    keys,
    run,
    runner,
    settings,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
ALERT = "RealisedQualityBurn"
NAME = f"retrained-{secrets.token_hex(3)}"  # whose loop no earlier run of the tests has begun
OWN = (f"name={NAME}", f"platform.hostnames=[{NAME}.test]")


def training(endpoint: str) -> dict[str, Any]:
    """Return the pod that trains on newer rows, and asks for what it has made."""
    config = settings(
        endpoint,
        *OWN,
        "data.path=s3://rows/more.csv",
        "evaluation.gate.threshold=0.7",
        "platform.kind=kubernetes",
    )
    text = config.model_dump_json(by_alias=True)
    variables = [
        {"name": name, "value": said} for name, said in config.pipeline.environment.items()
    ]
    values = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for name, one in config.pipeline.secrets.items()
    ]
    # by --set alone a list is hard to say: the file is written where the pod may write
    command = (
        "import os, pathlib, subprocess, sys, tempfile; "
        "place = pathlib.Path(tempfile.gettempdir()); file = place / 'fairway.yaml'; "
        "file.write_text(os.environ['CONFIG']); "
        "sys.exit(subprocess.call([sys.executable, '-m', 'fairway', 'run', 'training', '--config', "
        "str(file), '--home', str(place / 'home'), '--deploy', '--watch']))"
    )
    container = {
        "name": "run",
        "image": f"fairway/operator:{images.tag()}",
        "command": ["python", "-c", command],
        "env": [*driver.VARIABLES, *variables, *values, {"name": "CONFIG", "value": text}],
        "securityContext": driver.SAFE,
        "volumeMounts": [*driver.MOUNTS, {"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "restartPolicy": "Never",
        "serviceAccountName": ACCOUNT,
        "securityContext": driver.SAFE_POD,
        "containers": [container],
        "volumes": [*driver.VOLUMES, {"name": "tmp", "emptyDir": {}}],
    }


def loop(endpoint: str) -> list[dict[str, Any]]:
    place = {"namespace": world.NAMESPACE}
    template = {"spec": {"backoffLimit": 0, "template": {"spec": training(endpoint)}}}
    account = {"kind": "ServiceAccount", "name": "fairway-monitor", "namespace": SYSTEM}
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "fairway-retraining",
    }
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "challenger", **place},
            "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "fairway-retraining", **place},
            "roleRef": role,
            "subjects": [account],
        },
    ]


def found(cluster: Cluster, *what: str) -> Any:
    return json.loads(
        cluster.kubectl("--namespace", world.NAMESPACE, "get", *what, "--output=json").stdout
    )


@pytest.fixture
def challenger(system: Cluster, bucket: str, runner: None) -> Iterator[None]:  # noqa: F811
    """Make the CronJob that runs are made of; it goes with its Jobs."""
    made = yaml.safe_dump_all(loop(bucket))
    system.kubectl("apply", "--server-side", "--filename=-", input=made)
    yield
    delete = ("delete", "cronjob", "challenger", "--cascade=foreground")
    system.kubectl("--namespace", world.NAMESPACE, *delete)
    system.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")


def test_an_alert_becomes_one_run_whose_challenger_is_in_service(
    system: Cluster,  # noqa: F811
    alertmanager: watchers.Alertmanager,  # noqa: F811
    bucket: str,  # noqa: F811
    challenger: None,
    tmp_path: Path,
) -> None:
    ended, first = run(system, settings(bucket, *OWN), tmp_path / "first", watch=False)
    assert ended, first.ran[-1].log
    asked = found(system, "md", NAME)
    again = {
        **{key: asked[key] for key in ("apiVersion", "kind")},
        "metadata": {"name": NAME, "namespace": world.NAMESPACE},
        "spec": {
            "model": asked["spec"]["model"],
            "podTemplate": {"spec": {**keys(bucket), "containers": [{"name": "server"}]}},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
            "retraining": {"cronJob": "challenger", "alerts": [ALERT], "coolDown": "1h"},
        },
    }
    world.apply(system, again)
    world.until(system, NAME, world.digest_in_service(asked["spec"]["model"]))
    before = world.status(system, NAME)["stable"]["digest"]
    fire = {"alertname": ALERT, "namespace": world.NAMESPACE, "deployment": NAME}

    def jobs() -> list[dict[str, Any]]:
        return list(found(system, "jobs", "--selector", f"fairway.dev/deployment={NAME}")["items"])

    def fired() -> list[dict[str, Any]]:
        alertmanager.fire(**fire)
        return jobs()

    with world.traffic(system, NAME, model=NAME) as flowing:
        until(fired)

        def in_service() -> bool:
            alertmanager.fire(**fire)  # it repeats itself all the while
            (job,) = jobs()
            log = system.kubectl(
                "--namespace",
                world.NAMESPACE,
                "logs",
                f"job/{job['metadata']['name']}",
                check=False,
            )
            failed = job.get("status", {}).get("failed")
            assert not failed, log.stdout[-3000:]
            return bool(job.get("status", {}).get("succeeded"))

        until(in_service, seconds=480)
        assert flowing.failed == 0
    now = world.status(system, NAME)
    assert now["stable"]["digest"] != before
    (job,) = jobs()
    assert job["metadata"]["annotations"]["fairway.dev/reason"] == f"alert {ALERT} fires"
    told = until(lambda: now_told(system), seconds=60)
    assert told["outcome"] == "Succeeded"


def now_told(cluster: Cluster) -> dict[str, Any] | None:
    said = world.status(cluster, NAME).get("monitoring", {}).get("retraining", {})
    return said if said.get("outcome") == "Succeeded" else None
