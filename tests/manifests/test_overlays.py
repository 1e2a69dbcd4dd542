"""The kustomize overlays: the same objects as the chart with the same choice, and kind's cluster."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helm import rendering
from tests.helm.rendering import ROOT

pytestmark = pytest.mark.cluster

OVERLAYS = sorted(path.name for path in (ROOT / "manifests" / "overlays").iterdir())
HELMS_OWN = {
    "helm.sh/chart",
    "helm.sh/resource-policy",
    "app.kubernetes.io/managed-by",
}  # a server's label is the operator's, and in no manifest


def kustomize(binaries, overlay):
    done = subprocess.run(
        [binaries / "kubectl", "kustomize", ROOT / "manifests" / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return rendering.objects(done.stdout)


def plain(found):
    """Return the objects by what names them, without what helm says of itself."""
    result = {}
    for obj in found:
        metadata = obj["metadata"]
        for part in ("labels", "annotations"):
            kept = {
                key: value
                for key, value in (metadata.pop(part, None) or {}).items()
                if key not in HELMS_OWN
            }
            metadata.update({part: kept} if kept else {})
        result[obj["kind"], metadata.get("namespace"), metadata["name"]] = obj
    return result


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_chart_and_overlay_give_the_same_objects(binaries, overlay):
    values = yaml.safe_load(
        (ROOT / "manifests" / "overlays" / overlay / "values.yaml").read_text(encoding="utf-8")
    )
    chart = plain(rendering.render(binaries, values, "--include-crds", "--no-hooks"))
    manifests = plain(kustomize(binaries, overlay))
    # helm's is --create-namespace
    namespace = manifests.pop(("Namespace", None, rendering.NAMESPACE))
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert manifests.keys() == chart.keys()
    for name, obj in manifests.items():
        assert obj == chart[name], name


def test_production_is_more_than_kind(binaries):
    kinds = {overlay: {obj["kind"] for obj in kustomize(binaries, overlay)} for overlay in OVERLAYS}
    assert OVERLAYS == ["kind", "production", "staging"]
    assert kinds["staging"] - kinds["kind"] == {
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "ConfigMap",
        "PersistentVolumeClaim",
    }
    assert kinds["production"] - kinds["staging"] == {"PodDisruptionBudget"}


def test_what_comes_from_the_chart_is_up_to_date(binaries):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "manifests" / "generate.py",
            "--check",
            "--helm",
            binaries / "helm",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_holds_differences_only(binaries, overlay):
    """A patch that changes nothing has been overtaken by the base."""
    folder = ROOT / "manifests" / "overlays" / overlay
    customization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    base = plain(
        rendering.objects(
            subprocess.run(
                [binaries / "kubectl", "kustomize", ROOT / "manifests" / "operator"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    )
    result = plain(kustomize(binaries, overlay))
    for patch in customization.get("patches", ()):
        for obj in rendering.objects((folder / patch["path"]).read_text(encoding="utf-8")):
            name = obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]
            assert result.get(name) != base[name], (
                f"{overlay}/{patch['path']} changes nothing of {name}"
            )


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("name: fairway", "name: fairway"), "docker"),
        (("listenAddress", "listenAdress"), "unable to decode config"),
    ],
    ids=["as it is", "misspelt"],
)
def test_kind_reads_its_configuration_before_it_looks_for_an_engine(binaries, tmp_path, edit, says):
    text = (ROOT / "kind-config.yaml").read_text(encoding="utf-8").replace(*edit)
    no_engine = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
    }
    done = subprocess.run(
        [Path(binaries / "kind").resolve(), "create", "cluster", "--config=-"],
        input=text,
        env=no_engine,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert ("decode" in done.stderr) == ("decode" in says)
