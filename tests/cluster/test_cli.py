"""`fairway --on kubernetes` against a real API server and operator: deploy, follow, steer, and each
mistake in one sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.config
import pytest
import yaml

from fairway import errors
from fairway.platforms.kubernetes import api, client
from tests.cli import running
from tests.cluster import world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
NAME = "cli-income"


@pytest.fixture(scope="module")
def packages(
    fairway: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, ...]]:
    """Return the arguments that deploy A, B and C, which all answer the same."""
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    made = {
        name: world.package(folder / name, licence=licence)
        for name, licence in (("A", "MIT"), ("B", "Apache-2.0"), ("C", "BSD-3-Clause"))
    }
    return {
        name: (str(package.path), "--uri", store.put(package)["uri"])
        for name, package in made.items()
    }


@pytest.fixture
def place(fairway: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder whose configuration names the cluster; what is deployed from it is deleted
    afterwards."""
    platform = {"kind": "kubernetes", "hostnames": [f"{NAME}.test"]}
    strategy = world.resource(NAME, {})["spec"]["strategy"] | {
        "shadow": {"enabled": False},
        "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
    }
    configuration = {
        "name": NAME,
        "namespace": world.NAMESPACE,
        "data": {"source": "csv", "path": "few.csv", "target": "income"},
        "platform": platform,
        "strategy": strategy,
    }
    (tmp_path / "fairway.yaml").write_text(yaml.safe_dump(configuration))
    monkeypatch.setenv("KUBECONFIG", str(fairway.kubeconfig))
    monkeypatch.setenv("USER", "ana")
    yield tmp_path
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")


def said(where: Path, *arguments: str, status: int = 0) -> str:
    """Return what the command printed, on both streams; fails where it ends with another status."""
    done = running.fairway(*arguments, where=where)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def record(where: Path, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(said(where, *arguments, "--output", "json")))


def following(where: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fairway", "rollout", "watch", "--timeout", "4m"],
        cwd=where,
        env=os.environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_rollout_is_deployed_followed_paused_resumed_and_aborted_by_people_whom_the_history_names(
    fairway, packages, place
):
    assert "is asked for" in said(place, "deploy", *packages["A"], "--note", "OPS-1")
    one = json.dumps({"spec": {"scaling": {"minReplicas": 1, "maxReplicas": 1}}})
    fairway.kubectl(
        "--namespace", world.NAMESPACE, "patch", "md", NAME, "--type=merge", "--patch", one
    )
    assert "it is the first" in said(place, "rollout", "watch", "--timeout", "3m")
    assert record(place, "deploy", *packages["A"], "--note", "OPS-1")["changed"] is False

    with world.traffic(fairway, NAME) as traffic:
        said(place, "deploy", *packages["B"])
        follower = following(place)
        world.until(fairway, NAME, lambda now: now.get("phase") == "Canary")
        assert "paused by ana: lunch" in said(place, "rollout", "pause", "--reason", "lunch")
        told, why = follower.communicate(timeout=30)
        assert (follower.returncode, why) == (0, "paused: paused by ana: lunch\n")
        phases = [line.split()[1] for line in told.splitlines()]
        assert {"Starting", "Canary"} <= set(phases)
        assert phases[-1] == "Paused"
        assert record(place, "rollout", "resume")["answer"] == "resumed by ana"
        assert "resume had no effect" in said(place, "rollout", "resume", status=2)
        assert record(place, "rollout", "watch", "--timeout", "4m")["phase"] == "Stable"

        said(place, "deploy", *packages["C"])
        world.until(fairway, NAME, lambda now: now.get("phase") == "Canary")
        assert "aborted by ana: the wrong model" in said(
            place, "rollout", "abort", "--reason", "the wrong model"
        )
        assert "was rolled back: aborted by ana: the wrong model" in said(
            place, "rollout", "watch", "--timeout", "1m", status=3
        )
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])

    assert record(place, "rollout", "status")["phase"] == "RolledBack"
    listed = {
        (row["namespace"], row["deployment"]): row
        for row in record(place, "rollout", "list", "--all-namespaces")["deployments"]
    }
    assert listed[world.NAMESPACE, NAME]["phase"] == "RolledBack"
    assert listed[world.NAMESPACE, NAME]["harmful"] is None  # a person took it back, no evidence
    assert NAME in said(place, "rollout", "list")
    assert "nothing is deployed" in said(place, "rollout", "list", "--namespace", "cli-nowhere")
    explained = record(place, "rollout", "explain")
    people = [
        (row["action"], row["reason"]) for row in explained["history"] if "by ana" in row["reason"]
    ]
    assert people == [
        ("pause", "paused by ana: lunch"),
        ("resume", "resumed by ana"),
        ("ROLLBACK", "aborted by ana: the wrong model"),
    ]
    assert "P(a healthy revision is rolled back)" in explained["guarantee"]
    spec = json.loads(
        fairway.kubectl("--namespace", world.NAMESPACE, "get", "md", NAME, "--output=json").stdout
    )["spec"]
    assert spec["scaling"]["maxReplicas"] == 1  # set by another, so it stays

    assert "was rolled back" in said(
        place, "deploy", *packages["C"], "--wait", status=3
    )  # and is not tried again by itself
    assert "may be tried again by ana" in said(place, "rollout", "retry")
    assert "has not ended" in said(place, "rollout", "watch", "--timeout", "1s", status=1)


def test_what_is_not_there_is_said_in_one_sentence(packages, place):
    assert f"there is no ModelDeployment '{NAME}' in namespace 'models'" in said(
        place, "rollout", "status", status=2
    )
    assert "there is no ModelDeployment" in said(place, "rollout", "pause", status=2)
    assert "there is no namespace 'cli-nowhere'" in said(
        place, "deploy", *packages["A"], "--namespace", "cli-nowhere", status=2
    )
    assert "there is no ModelDeployment" in said(
        place, "rollout", "explain", "--namespace", "cli-nowhere", status=2
    )


def test_a_cluster_without_the_definition_asks_for_the_chart(fairway, monkeypatch):
    monkeypatch.setitem(api.KINDS, "ModelDeployment", ("/apis/fairway.dev/v0", "modeldeployments"))
    server = api.Api(kubernetes.config.new_client_from_config(str(fairway.kubeconfig)))
    with pytest.raises(errors.PlatformError, match="install the chart first"):
        client.read(server, world.NAMESPACE, NAME)


def test_whoever_may_not_is_told_which_role_would_allow_it(fairway, place, monkeypatch):
    known = yaml.safe_load(fairway.kubeconfig.read_text())
    token = fairway.kubectl(
        "--namespace", world.NAMESPACE, "create", "token", "default"
    ).stdout.strip()
    (place / "other").write_text(
        yaml.safe_dump(
            known
            | {
                "users": [
                    {"name": user["name"], "user": {"token": token}} for user in known["users"]
                ]
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(place / "other"))
    assert "allows get and patch on modeldeployments.fairway.dev" in said(
        place, "rollout", "status", status=1
    )
    assert "a ClusterRole that allows list on modeldeployments.fairway.dev" in said(
        place, "rollout", "list", "--all-namespaces", status=1
    )
