"""Argo Rollouts from its own manifests, with a Rollout under the background analysis of its
documents."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers import ours
from fairway.config import sections
from tests.cluster import binaries, images, stack, world
from tests.cluster.cluster import Cluster, load

MODULE, IMAGE, NAMESPACE, PLUGIN = (
    "github.com/argoproj/argo-rollouts",
    "fairway.test/argo-rollouts:1",
    "argo-rollouts",
    "fairway/httproute",
)
INSTALL = Path(__file__).parent / "argo-install.yaml"
TEMPLATES = Path(__file__).parent / "argo.yaml"
PROGRAMS = ("rollouts-controller", "httproute-weights")
USER = {"runAsUser": 999}  # as its own image says


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How often Argo looks, at what, how much has to succeed, and how many bad looks it forgives."""

    interval: str
    failure_limit: int
    least: float
    function: str
    window: str


STOCK = Analysis(
    interval="5m", failure_limit=3, least=0.95, function="irate", window="5m"
)  # its documents' `success-rate`
TUNED = Analysis(
    interval="10s", failure_limit=0, least=0.99, function="rate", window="10s"
)  # Flagger's tuned one, in Argo's words


ROLLED_OUT = (
    *("--namespace", NAMESPACE, "rollout", "status"),
    *("deployment/argo-rollouts", "--timeout=90s"),
)


def install(cluster: Cluster) -> None:
    """Install Argo Rollouts, or changes nothing where it is."""
    if cluster.kubectl(*ROLLED_OUT, check=False).returncode == 0:
        return
    bin_ = binaries.folder("argo-rollouts")
    if cluster.folder is not None:
        programs = {f"/{name}": bin_ / name for name in PROGRAMS}
        load([images._program(IMAGE, programs, entrypoint=[f"/{PROGRAMS[0]}"])])
    manifests = stack.module(MODULE, of="argo-rollouts") / "manifests"
    namespace = f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}"
    cluster.kubectl("apply", "--server-side", "--filename=-", input=namespace)
    apply = ("--namespace", NAMESPACE, "apply", "--server-side")
    for file in _files(manifests):
        cluster.kubectl(*apply, "--filename", str(file))
    cluster.kubectl(*apply, "--filename=-", input=yaml.safe_dump(_controller(manifests)))
    cluster.kubectl(*ROLLED_OUT)


def _files(manifests: Path) -> list[Path]:
    """Return what is applied before the controller, in this order."""
    crds = sorted((manifests / "crds").glob("*.yaml"))
    return [
        *(file for file in crds if file.name != "kustomization.yaml"),
        manifests / "role" / "argo-rollouts-clusterrole.yaml",
        manifests / "cluster-install" / "argo-rollouts-clusterrolebinding.yaml",
        INSTALL,
        manifests / "base" / "argo-rollouts-sa.yaml",
    ]


def _controller(manifests: Path) -> dict[str, Any]:
    """Return the controller's Deployment, with the image and the user of the tests."""
    text = (manifests / "base" / "argo-rollouts-deployment.yaml").read_text()
    deployment: dict[str, Any] = yaml.safe_load(text)
    pod = deployment["spec"]["template"]["spec"]
    pod["securityContext"].update(USER)
    container = pod["containers"][0]
    plugins = next(
        mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "plugin-bin"
    )
    # it looks for plug-ins where it works
    folder = str(Path(plugins).parent)
    container.update(image=IMAGE, imagePullPolicy="IfNotPresent", workingDir=folder)
    return deployment


class Argo:
    """A Rollout of the pods that fairway would write, whose new revisions stay at weight 25 for an
    hour."""

    def __init__(self, cluster: Cluster, *, name: str, analysis: Analysis) -> None:
        self.name, self.host, self._analysis, self._cluster, self._models = (
            name,
            f"{name}.test",
            analysis,
            cluster,
            ours.models(cluster),
        )
        self.patience = (analysis.failure_limit + 2) * sections.parse_duration(
            analysis.interval
        ).total_seconds() + 60
        install(cluster)
        self.end()
        manifest = TEMPLATES.read_text()
        for key, value in {"name": name, **asdict(analysis)}.items():
            manifest = manifest.replace("${" + key.upper() + "}", str(value))
        cluster.kubectl("apply", "--server-side", "--filename=-", input=manifest)
        self._deploy("stable", "sound")
        self._wait("Healthy")

    def begin(self, number: int) -> str:
        self._wait("Healthy", "Degraded")
        self._deploy(revision := f"candidate-{number}", "fragile")
        return revision

    def verdict(self) -> tuple[bool, str]:
        """Tell it from the last analysis: a bad look at no requests at all (NaN) would be another
        reason."""
        message = self._status().get("message", "")
        runs = json.loads(
            self._kubectl(
                "get", "analysisruns", f"--selector=app={self.name}", "--output=json"
            ).stdout
        )["items"]
        last: dict[str, Any] = max(
            runs, key=lambda run: str(run["metadata"]["creationTimestamp"]), default={}
        )
        looks = [
            look
            for metric in last.get("status", {}).get("metricResults", [])
            for look in metric.get("measurements", [])
        ]
        failed = [look["value"] for look in looks if look["phase"] == "Failed"]
        return (
            "assessed Failed" in message and "[NaN]" not in failed,
            f"{message}: {', '.join(failed)}",
        )

    def end(self) -> None:
        for kind, suffixes in {
            "rollout": ("",),
            "httproute": ("",),
            "analysistemplate": ("",),
            "service": ("-stable", "-canary"),
        }.items():
            for suffix in suffixes:
                self._kubectl("delete", kind, self.name + suffix, "--ignore-not-found", "--wait")
        self._kubectl(
            "wait", "--for=delete", "pods", f"--selector=app={self.name}", "--timeout=90s"
        )  # by their owner, the Rollout

    def _deploy(self, revision: str, model: str) -> None:
        self._cluster.kubectl(
            "apply",
            "--server-side",
            "--filename=-",
            input=yaml.safe_dump(self._rollout(revision, self._models[model])),
        )

    def _rollout(self, revision: str, model: dict[str, str]) -> dict[str, Any]:
        deployment = ours.deployment(self.name, revision, model)
        canary = {
            "stableService": f"{self.name}-stable",
            "canaryService": f"{self.name}-canary",
            "trafficRouting": {
                "plugins": {PLUGIN: {"namespace": world.NAMESPACE, "httpRoute": self.name}}
            },
            "analysis": {
                "templates": [{"templateName": self.name}],
                "startingStep": 1,  # once weight 25 is set
                "analysisRunMetadata": {"labels": {"app": self.name}},
            },
            "steps": [{"setWeight": 25}, {"pause": {"duration": "1h"}}],
        }
        spec = {
            "replicas": 1,
            "selector": deployment["spec"]["selector"],
            "template": deployment["spec"]["template"],
            "strategy": {"canary": canary},
        }
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": deployment["metadata"],
            "spec": spec,
        }

    def _status(self) -> dict[str, Any]:
        found = json.loads(self._kubectl("get", "rollout", self.name, "--output=json").stdout)
        status = dict(found.get("status", {}))
        seen = str(status.get("observedGeneration", "")) == str(found["metadata"]["generation"])
        return status if seen else {}

    def _wait(self, *phases: str, seconds: float = 300) -> None:
        """Wait for the Rollout to be in one of the phases."""
        deadline = time.monotonic() + seconds
        while (phase := self._status().get("phase", "")) not in phases:
            assert time.monotonic() < deadline, (
                f"the Rollout is {phase or 'not begun'} after {seconds:.0f} s: wanted {' or '.join(phases)}"
            )
            time.sleep(0.5)

    def _kubectl(self, *arguments: str) -> Any:
        return self._cluster.kubectl("--namespace", world.NAMESPACE, *arguments)
