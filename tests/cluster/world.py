"""A model's world on the cluster: a place where packages lie, requests from many users, and what
`kubectl get md` says."""

import io
import json
import subprocess
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from fairway import artifacts
from tests.cluster import binaries, images, stack
from tests.cluster.cluster import Cluster
from tests.serving import support

NAMESPACE = "models"
CLIENTS = 8
CLAIMED = {
    "x-request-id": "mine",
    "x-fairway-arm": "canary",
    "x-fairway-revision": "0123456789ab",
}  # what only the gateway says, and whatever clients say

POST = (
    "import sys, urllib.request as web; "
    "web.urlopen(web.Request('http://127.0.0.1:8080' + sys.argv[1], data=sys.stdin.buffer.read(), "
    "headers={'content-type': 'application/json', 'authorization': 'Bearer ' + sys.argv[2]})).read()"
)


def person(number: int) -> dict[str, Any]:
    """Return one of many requests that every model answers, not all the same."""
    return support.tensors([20 + 7 * number % 60], [10 + 11 * number % 80], ["state"])


@dataclass(frozen=True)
class Store:
    """A web server in the cluster that gives packages out, as an object store would over HTTP."""

    cluster: Cluster

    def put(self, package: artifacts.Package) -> dict[str, str]:
        """Return the `spec.model` of a package that lies there now."""
        name = package.digest.removeprefix("sha256:")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(package.path, arcname=name)
        argv = [
            str(binaries.folder() / "kubectl"),
            "--kubeconfig",
            str(self.cluster.kubeconfig),
            "--namespace",
            NAMESPACE,
            "exec",
            "--stdin",
            "deployment/store",
            "--",
            "tar",
            "--extract",
            "--directory",
            "/packages",
            "--file",
            "-",
        ]
        done = subprocess.run(argv, input=archive.getvalue(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return {"uri": f"http://store.{NAMESPACE}.svc:8000/{name}", "digest": package.digest}


def store(cluster: Cluster) -> Store:
    """Return the store, installed where it is missing."""
    manifest = (Path(__file__).parent / "store.yaml").read_text().replace("${TAG}", images.tag())
    cluster.kubectl("apply", "--server-side", "--filename=-", input=manifest)
    cluster.kubectl(
        "--namespace", NAMESPACE, "rollout", "status", "deployment/store", "--timeout=180s"
    )
    return Store(cluster)


def resource(name: str, model: dict[str, str], **spec: Any) -> dict[str, Any]:
    """Return a ModelDeployment in a hurry: everything real, but for how long each stage lasts at
    least."""
    return {
        "apiVersion": "fairway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": model,
            "gateway": {"parentRefs": [{"name": "models"}], "hostnames": [f"{name}.test"]},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
            "serving": {"revealRevision": True},
            "podTemplate": {
                "spec": {
                    "containers": [
                        {
                            "name": "server",
                            "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}},
                        }
                    ]
                }
            },
            "strategy": {
                "warmup": "1s",
                "shadow": {"minPairs": 200},
                "canary": {"harm": 0.5},
                "bake": {"weight": 5, "duration": "5s"},
                "guards": [
                    {"name": "disagreement", "type": "disagreement"},
                    {"name": "errors", "type": "errors", "maxRate": 0.05},
                    {"name": "slow", "type": "latency", "threshold": "1s", "maxRate": 0.05},
                ],
            },
            **spec,
        },
    }


@dataclass
class Traffic:
    """Requests of many users to one deployment, one after the other from each client, counted by
    status and revision."""

    url: str
    host: str
    body: Callable[[int], dict[str, Any]] = person
    # seconds between a client's requests: the cluster has two cores, and a rollout more to do
    pause: float = 0.02
    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    answered: list[tuple[str, str, str]] = field(default_factory=list)  # request id, revision, unit
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> int:
        """Return the requests that a user saw fail."""
        return sum(count for (status, _), count in self.counts.items() if status >= 500) + len(
            self.broken
        )

    def run(self, number: int) -> None:
        with httpx.Client(headers={"host": self.host}, timeout=30) as client:
            turn = 0
            while not self.stopping.wait(self.pause):
                turn += 1
                unit = f"user-{number}-{turn % 25}"
                try:
                    answer = client.post(
                        self.url, json=self.body(turn), headers={**CLAIMED, "x-fairway-unit": unit}
                    )
                    self.counts[
                        answer.status_code, answer.headers.get("x-fairway-revision", "")
                    ] += 1
                    self.answered.append(
                        (
                            answer.headers.get("x-request-id", ""),
                            answer.headers.get("x-fairway-revision", ""),
                            unit,
                        )
                    )
                except httpx.HTTPError as error:
                    self.broken.append(repr(error))


@contextmanager
def traffic(
    cluster: Cluster,
    name: str,
    *,
    host: str | None = None,
    model: str = "income",
    body: Callable[[int], dict[str, Any]] = person,
    pause: float = Traffic.pause,
) -> Iterator[Traffic]:
    """Return traffic that flows until the block ends, from when on the gateway answers: its proxies may
    wait for the pods of a new model for 15 s after it is Stable."""
    until(cluster, name, _answered, seconds=60)
    flowing = Traffic(
        f"{stack.gateway_url(cluster)}/v2/models/{model}/infer", host or f"{name}.test", body, pause
    )
    threads = [threading.Thread(target=flowing.run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield flowing
    finally:
        flowing.stopping.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True)
class Labeller:
    """A service account that may send labels and outcomes of the namespace's models."""

    cluster: Cluster
    token: str

    def send(self, path: str, items: list[dict[str, Any]]) -> None:
        """Send them from the collector's own pod: it listens within the cluster alone."""
        argv = [
            "--namespace=fairway-system",
            "exec",
            "--stdin",
            "deployment/fairway-collector",
            "--",
        ]
        self.cluster.kubectl(*argv, "python", "-c", POST, path, self.token, input=json.dumps(items))


def labeller(cluster: Cluster, account: str) -> Labeller:
    """Return the account, made where it is missing."""
    argv = ("--namespace", NAMESPACE, "create")
    role = ("--clusterrole=fairway-labeller", f"--serviceaccount={NAMESPACE}:{account}")
    cluster.kubectl(*argv, "serviceaccount", account, check=False)
    cluster.kubectl(*argv, "rolebinding", account, *role, check=False)
    token = cluster.kubectl(
        *argv, "token", account, "--audience=fairway-collector", "--duration=1h"
    )
    return Labeller(cluster, token.stdout.strip())


def apply(cluster: Cluster, document: dict[str, Any]) -> None:
    cluster.kubectl(
        "apply",
        "--server-side",
        "--field-manager=tests",
        "--force-conflicts",
        "--filename=-",
        input=yaml.safe_dump(document),
    )


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    found = cluster.kubectl(
        "--namespace", NAMESPACE, "get", "md", name, "--output=json", check=False
    )
    return dict(json.loads(found.stdout).get("status", {})) if found.returncode == 0 else {}


def until(
    cluster: Cluster,
    name: str,
    true: Callable[[dict[str, Any]], bool],
    *,
    seconds: float = 180,
    story: list[str] | None = None,
) -> dict[str, Any]:
    """Return the status that makes it true; fails with the last one. `story` takes down each phase
    and weight on the way."""
    deadline = time.monotonic() + seconds
    while True:
        now = status(cluster, name)
        line = f"{now.get('phase')} {now.get('weight')}"
        if story is not None and (not story or story[-1] != line):
            story.append(line)
        if true(now):
            return now
        assert time.monotonic() < deadline, (
            f"{name} stands at {line}: {now.get('reason')} after {seconds:.0f} s; story {story}"
        )
        time.sleep(0.25)


def digest_in_service(model: dict[str, str]) -> Callable[[dict[str, Any]], bool]:
    return lambda now: (
        now.get("phase") == "Stable" and now.get("stable", {}).get("digest") == model["digest"]
    )


def _answered(now: dict[str, Any]) -> bool:
    return any(
        (condition["type"], condition["status"]) == ("RouteReady", "True")
        for condition in now.get("conditions", ())
    )


def rolled_back(now: dict[str, Any]) -> bool:
    return now.get("phase") == "RolledBack"


def package(
    folder: Path, *, seed: int = 0, fragile: bool = False, licence: str = "MIT"
) -> artifacts.Package:
    """Return the package of a small model: the same seed answers the same, another licence is
    another digest."""
    from fairway.packaging import package as packages

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.json").write_text(json.dumps(support.SCHEMA))
    model = support.onnx_model(folder / "model.onnx", seed=seed, fragile=fragile)
    return packages.import_onnx(
        model, schema=folder / "schema.json", name="income", out=folder / "store", licence=licence
    )
