"""`python -m manifests.kind up | down [--dry-run]`: a kind cluster with Envoy Gateway, Prometheus,
fairway and a model in service.

A second `up` changes only what has changed: images are named by what they are made of, and
everything else is applied. What it installs in the cluster besides fairway is what the tests
install in theirs (tests/cluster/stack), with public images.
"""

import argparse
import copy
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import images

ROOT = Path(__file__).resolve().parents[2]
NAME, CONTEXT = "fairway", "kind-fairway"  # as in kind-config.yaml
ENVOY_GATEWAY = "oci://docker.io/envoyproxy/gateway-helm"
ENVOY_GATEWAY_VERSION = "v1.9.1"  # what the tests build; its chart brings the Gateway API's CRDs
# the long-term release of the 2.x that the tests run
PROMETHEUS = "docker.io/prom/prometheus:v2.53.4"
HTTP_PORT = 30080  # kind-config.yaml leads port 80 of this machine there
HINTS = {
    "kind": "see kind.sigs.k8s.io",
    "kubectl": "see kubernetes.io/docs/tasks/tools",
    "helm": "3.14 or newer, see helm.sh",
}
MODEL = {
    "uri": "http://store.models.svc:8000/PACKAGE",
    "digest": "sha256:PACKAGE",
}  # what a dry run says in place of the sample's


@dataclass(frozen=True)
class Step:
    """A command, what it reads, and why it is run."""

    why: str
    argv: tuple[str, ...]
    input: bytes | None = None


@dataclass(frozen=True)
class Sample:
    """A model to serve: its `spec.model`, and a tar of its package."""

    model: Mapping[str, str]
    tar: bytes


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m manifests.kind",
        description="Bring a kind cluster with fairway up, or end it.",
    )
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    options = parser.parse_args(arguments)
    if options.dry_run:
        steps = (
            [*creation(), *up("docker", Sample(MODEL, b""))]
            if options.verb == "up"
            else [deletion()]
        )
        print(
            "\n".join(
                shlex.join(step.argv) + (" < INPUT" if step.input is not None else "")
                for step in steps
            )
        )
        return 0
    try:
        engine = _engine()
        _need(*HINTS)
        if options.verb == "down":
            _run(deletion(), engine)
            return 0
        for step in () if _there(engine) else creation():
            _run(step, engine)
        for step in up(engine, sample()):
            _run(step, engine)
    except subprocess.CalledProcessError as error:
        print(
            f"kind: {shlex.join(error.cmd)[:300]} ended with {error.returncode}: what it said stands above",
            file=sys.stderr,
        )
        return 1
    print(
        f"fairway is up: curl --header 'Host: income.test' http://127.0.0.1/v2/models/income; kubectl --context "
        f"{CONTEXT} --namespace models get md"
    )
    return 0


# -- what is run -----------------------------------------------------------------------------------


def creation() -> list[Step]:
    return [
        Step(
            "the cluster",
            (
                "kind",
                "create",
                "cluster",
                "--config",
                str(ROOT / "kind-config.yaml"),
                "--wait",
                "3m",
            ),
        )
    ]


def deletion() -> Step:
    return Step("the cluster's end", ("kind", "delete", "cluster", "--name", NAME))


def up(engine: str, model: Sample) -> Iterator[Step]:
    """Return what a cluster needs that is there; each step may be taken again."""
    yield from _gateway()
    for image, target in images.OWN.items():
        yield from _image(engine, f"docker.io/{image}:{images.tag()}", target)
    yield _fairway()
    yield from _served(model)


def _gateway() -> Iterator[Step]:
    yield Step(
        "Gateway API and Envoy Gateway",
        _helm("eg", ENVOY_GATEWAY, "envoy-gateway-system", "--version", ENVOY_GATEWAY_VERSION),
    )
    yield Step(
        "a Gateway and Prometheus",
        _kubectl("apply", "--server-side", "--force-conflicts", "--filename=-"),
        _yaml(objects()),
    )
    yield Step(
        "Prometheus answers",
        _kubectl(
            "--namespace=monitoring", "rollout", "status", "deployment/prometheus", "--timeout=3m"
        ),
    )
    yield Step(
        "the Gateway answers",
        _kubectl(
            "--namespace=models",
            "wait",
            "gateway/models",
            "--for=condition=Programmed",
            "--timeout=3m",
        ),
    )


def _fairway() -> Step:
    return Step(
        "fairway",
        _helm(
            "fairway",
            str(ROOT / "helm" / "fairway"),
            "fairway-system",
            "--values",
            str(ROOT / "manifests/overlays/kind/values.yaml"),
            "--set",
            images.chart_values(),
        ),
    )


def _served(model: Sample) -> Iterator[Step]:
    """Return the steps to a model in service: its package in a store, and the resource."""
    store = (
        (ROOT / "tests/cluster/store.yaml")
        .read_text(encoding="utf-8")
        .replace("${TAG}", images.tag())
    )
    yield Step(
        "a store of packages",
        _kubectl("apply", "--server-side", "--force-conflicts", "--filename=-"),
        store.encode(),
    )
    yield Step(
        "the store answers",
        _kubectl("--namespace=models", "rollout", "status", "deployment/store", "--timeout=3m"),
    )
    unpack = ("tar", "--extract", "--directory", "/packages", "--file", "-")
    yield Step(
        "a package in it",
        _kubectl("--namespace=models", "exec", "--stdin", "deployment/store", "--", *unpack),
        model.tar,
    )
    yield Step(
        "a model",
        _kubectl("apply", "--server-side", "--force-conflicts", "--filename=-"),
        _yaml([deployment(model)]),
    )
    yield Step(
        "it serves",
        _kubectl(
            "--namespace=models", "wait", "md/income", "--for=condition=Ready", "--timeout=5m"
        ),
    )


def objects() -> list[dict[str, Any]]:
    """Return what the tests install in their cluster, with public images and with the port that
    kind leads to this machine."""
    found = [
        copy.deepcopy(document)
        for path in sorted((ROOT / "tests/cluster/stack").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    for document in found:
        if document["kind"] == "EnvoyProxy":
            kubernetes = document["spec"]["provider"]["kubernetes"]
            del kubernetes["envoyDeployment"]["container"]["image"]
            kubernetes["envoyService"]["patch"] = {
                "type": "StrategicMerge",
                "value": {"spec": {"ports": [{"port": 80, "nodePort": HTTP_PORT}]}},
            }
        if document["kind"] == "Deployment":
            [container] = document["spec"]["template"]["spec"]["containers"]
            container |= {"image": PROMETHEUS, "imagePullPolicy": "IfNotPresent"}
    return found


def deployment(model: Sample) -> dict[str, Any]:
    """Return the sample's ModelDeployment, in a hurry so that its rollouts can be watched."""
    strategy = {
        "warmup": "1s",
        "shadow": {"minPairs": 200},
        "canary": {"steps": [{"weight": 5}, {"weight": 25}, {"weight": 50}], "harm": 0.5},
        "bake": {"weight": 5, "duration": "5s"},
        "guards": [
            {"name": "disagreement", "type": "disagreement"},
            {"name": "errors", "type": "errors", "maxRate": 0.05},
        ],
    }
    return {
        "apiVersion": "fairway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "income", "namespace": "models"},
        "spec": {
            "model": dict(model.model),
            "gateway": {"parentRefs": [{"name": "models"}], "hostnames": ["income.test"]},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
            "strategy": strategy,
        },
    }


def sample() -> Sample:
    """Return a small model in its package, the same at every call."""
    from tests.cluster import world

    with tempfile.TemporaryDirectory() as folder:
        package = world.package(Path(folder))
        name, archive = package.digest.removeprefix("sha256:"), io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(package.path, arcname=name)
    return Sample(
        {"uri": f"http://store.models.svc:8000/{name}", "digest": package.digest},
        archive.getvalue(),
    )


def _image(engine: str, image: str, target: str) -> Iterator[Step]:
    """Return the image's build and its way to the nodes. podman's images need an archive: kind asks
    docker for the others."""
    yield Step(
        f"the image {image}",
        (
            engine,
            "build",
            "--file",
            str(ROOT / "components/Dockerfile"),
            "--target",
            target,
            "--tag",
            image,
            str(ROOT),
        ),
    )
    if engine == "docker":
        yield Step("it on every node", ("kind", "load", "docker-image", image, "--name", NAME))
        return
    archive = str(Path(tempfile.gettempdir()) / f"fairway-{target}-{images.tag()}.tar")
    yield Step("its archive", (engine, "save", "--output", archive, image))
    yield Step("it on every node", ("kind", "load", "image-archive", archive, "--name", NAME))
    yield Step("no archive", ("rm", "-f", archive))


def _helm(release: str, chart: str, namespace: str, *options: str) -> tuple[str, ...]:
    return (
        "helm",
        "upgrade",
        release,
        chart,
        "--install",
        "--kube-context",
        CONTEXT,
        "--namespace",
        namespace,
        "--create-namespace",
        *options,
        "--wait",
        "--timeout",
        "5m",
    )


def _kubectl(*arguments: str) -> tuple[str, ...]:
    return ("kubectl", "--context", CONTEXT, *arguments)


def _yaml(documents: list[dict[str, Any]]) -> bytes:
    return yaml.safe_dump_all(json.loads(json.dumps(documents)), sort_keys=False).encode()


# -- where it is run -------------------------------------------------------------------------------


def _engine() -> str:
    """Return docker or podman, whichever is there and answers; ends with a sentence where none
    does."""
    found = [engine for engine in ("docker", "podman") if shutil.which(engine)]
    for engine in found:
        if subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0:
            return engine
    sys.exit(
        f"kind: {' and '.join(found)} cannot reach an engine: start it and try again"
        if found
        else "kind: there is neither docker nor podman on PATH: install one of them, for kind's nodes are its "
        "containers"
    )


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            sys.exit(
                f"kind: there is no {program} on PATH: install it ({HINTS[program]}) and try again"
            )


def _there(engine: str) -> bool:
    done = subprocess.run(
        ["kind", "get", "clusters"],
        env=_environment(engine),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return NAME in done.stdout.split()


def _run(step: Step, engine: str) -> None:
    print(f"-- {step.why}: {shlex.join(step.argv)[:200]}", flush=True)
    subprocess.run(step.argv, input=step.input, env=_environment(engine), check=True)


def _environment(engine: str) -> dict[str, str]:
    return {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": engine}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
