"""`make kind-up`: what it runs, in which order, what it says where something is missing; by
programs that only take notes."""

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from manifests.kind import __main__ as kind
from tests.cluster import images
from tests.helm.rendering import ROOT

NOTES = """#!{python}
import pathlib, sys
line = " ".join(["{name}", *sys.argv[1:]])
with open("{log}", "a") as log:
    print(line, file=log)
if not sys.stdin.isatty() and "--filename=-" in sys.argv:
    sys.stdin.read()
print("fairway" if line == "kind get clusters" and pathlib.Path("{there}").exists() else "")
sys.exit(3 if "{fails}" and "{fails}" in line else 0)
"""


def program(folder: Path, name: str, *, fails: str = "") -> None:
    path = folder / name
    path.write_text(
        NOTES.format(
            python=sys.executable,
            name=name,
            log=folder / "log",
            there=folder / "there",
            fails=fails,
        )
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run(verb: str, *options: str, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(path)}
    return subprocess.run(
        [sys.executable, "-m", "manifests.kind", verb, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def ran(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def tools(tmp_path) -> Path:
    """Return a folder with docker, kind, kubectl and helm that only take notes."""
    for name in ("docker", "kind", "kubectl", "helm"):
        program(tmp_path, name)
    return tmp_path


def test_up_makes_the_cluster_and_everything_on_it_in_order(tools):
    done = run("up", path=tools)
    assert done.returncode == 0, done.stderr
    assert "fairway is up: curl" in done.stdout
    verbs = [
        " ".join(
            line.replace("--context kind-fairway ", "")
            .replace("--namespace=models ", "")
            .split()[:3]
        )
        for line in ran(tools)
    ]
    assert verbs == [
        "docker info",
        "kind get clusters",
        "kind create cluster",
        "helm upgrade eg",
        "kubectl apply --server-side",
        "kubectl --namespace=monitoring rollout",
        "kubectl wait gateway/models",
        *["docker build --file", "kind load docker-image"] * len(images.OWN),
        "helm upgrade fairway",
        "kubectl apply --server-side",
        "kubectl rollout status",
        "kubectl exec --stdin",
        "kubectl apply --server-side",
        "kubectl wait md/income",
    ]


def test_a_second_up_makes_no_second_cluster(tools):
    (tools / "there").touch()
    assert run("up", path=tools).returncode == 0
    assert not [line for line in ran(tools) if line.startswith("kind create")]
    assert [line for line in ran(tools) if line.startswith("helm upgrade")]


def test_what_is_printed_is_what_is_run(tools):
    printed = run("up", "--dry-run", path=tools)
    assert ran(tools) == []
    assert run("up", path=tools).returncode == 0
    lines = [
        " ".join(shlex.split(line.removesuffix(" < INPUT"))) for line in printed.stdout.splitlines()
    ]
    assert lines == [
        line for line in ran(tools) if line not in ("docker info", "kind get clusters")
    ]


def test_every_image_is_named_by_what_it_is_made_of_and_loaded(tools):
    run("up", path=tools)
    for image in images.OWN:
        name = f"docker.io/{image}:{images.tag()}"
        assert [line for line in ran(tools) if line.startswith("docker build") and name in line]
        assert f"kind load docker-image {name} --name fairway" in ran(tools)
    [chart] = [line for line in ran(tools) if line.startswith("helm upgrade fairway")]
    assert f"monitor.image.tag={images.tag()},server.image.tag={images.tag()}" in chart


def test_podmans_images_come_by_an_archive(tools):
    (tools / "docker").unlink()
    program(tools, "podman")
    program(tools, "rm")
    done = run("up", path=tools)
    assert done.returncode == 0, done.stderr
    assert len([line for line in ran(tools) if line.startswith("kind load image-archive")]) == len(
        images.OWN
    )
    assert not [line for line in ran(tools) if "docker-image" in line]


def test_down_ends_that_cluster_only(tools):
    assert run("down", path=tools).returncode == 0
    assert ran(tools) == ["docker info", "kind delete cluster --name fairway"]


@pytest.mark.parametrize("missing", ["kind", "kubectl", "helm"])
def test_a_program_that_is_missing_is_said_before_anything_is_made(tools, missing):
    (tools / missing).unlink()
    done = run("up", path=tools)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kind: there is no {missing} on PATH: install it (")
    assert ran(tools) == ["docker info"]


def test_no_engine_and_one_that_does_not_run_are_said(tools):
    program(tools, "docker", fails="info")
    asleep = run("up", path=tools)
    (tools / "docker").unlink()
    absent = run("up", path=tools)
    assert (asleep.returncode, asleep.stderr) == (
        1,
        "kind: docker cannot reach an engine: start it and try again\n",
    )
    assert (absent.returncode, absent.stderr.partition(":")[2].strip().partition(":")[0]) == (
        1,
        "there is neither docker nor podman on PATH",
    )


def test_a_step_that_fails_ends_it_with_one_sentence(tools):
    program(tools, "helm", fails="upgrade fairway")
    done = run("up", path=tools)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "ended with 3" in line]
    assert "Traceback" not in done.stderr
    assert not [line for line in ran(tools) if "store" in line]


def test_the_cluster_is_the_one_that_kind_config_names():
    config = yaml.safe_load((ROOT / "kind-config.yaml").read_text(encoding="utf-8"))
    ports = [
        mapping["containerPort"]
        for node in config["nodes"]
        for mapping in node.get("extraPortMappings", ())
    ]
    assert config["name"] == kind.NAME == kind.CONTEXT.removeprefix("kind-")
    assert kind.HTTP_PORT in ports


def test_its_objects_are_the_tests_own_with_images_that_can_be_pulled():
    found = kind.objects()
    written = yaml.safe_dump(found)
    assert "fairway.test" not in written
    assert "Never" not in written
    assert kind.PROMETHEUS in written
    assert {"Gateway", "GatewayClass", "EnvoyProxy", "Deployment", "ConfigMap"} <= {
        document["kind"] for document in found
    }


@pytest.mark.cluster
def test_an_api_server_takes_them_and_the_sample(fairway):
    documents = [document for document in kind.objects() if document["kind"] != "Namespace"]
    documents.append(
        kind.deployment(kind.Sample({"uri": "s3://models/a", "digest": f"sha256:{'a' * 64}"}, b""))
    )
    done = fairway.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
        input=yaml.safe_dump_all(documents),
        check=False,
    )
    assert done.returncode == 0, done.stderr
