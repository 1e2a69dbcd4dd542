"""Flagger from its own chart, with the Canary and the metric of its Gateway API tutorial."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from benchmarks.peers import ours
from fairway.config import sections
from fairway.platforms.kubernetes import runtimes
from tests.cluster import binaries, images, stack, world
from tests.cluster.cluster import Cluster, load

MODULE, IMAGE, NAMESPACE = "github.com/fluxcd/flagger", "fairway.test/flagger", "flagger-system"
METRIC = "error-rate"
TEMPLATES = Path(__file__).parent / "flagger.yaml"
PROBE = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2}


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How often Flagger looks, over how much time, and how many bad looks it forgives."""

    interval: str
    threshold: int
    window: str


STOCK = Analysis(interval="1m", threshold=5, window="1m")  # the tutorial's
TUNED = Analysis(
    interval="10s", threshold=1, window="10s"
)  # the least that Flagger takes: less counts as 10 s, and as 1


def install(cluster: Cluster) -> None:
    """Install Flagger, or changes nothing where it is."""
    if (
        "deployed"
        in cluster.helm(
            "status", "flagger", "--namespace", NAMESPACE, "--output=json", check=False
        ).stdout
    ):
        return
    program = binaries.folder("flagger") / "flagger"
    if cluster.folder is not None:
        load([images._program(f"{IMAGE}:1", {"/flagger": program}, entrypoint=["/flagger"])])
    chart = stack.module(MODULE, of="flagger") / "charts" / "flagger"
    cluster.helm(
        "install",
        "flagger",
        str(chart),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set",
        "meshProvider=gatewayapi:v1",
        "--set",
        "metricsServer=http://prometheus.monitoring.svc:9090",
        "--set",
        f"image.repository={IMAGE},image.tag=1",
    )
    # The chart's probes run wget, which an image of one static program has not got: the same
    # questions, asked by the kubelet.
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "flagger",
                            "livenessProbe": {**PROBE, "exec": None},
                            "readinessProbe": {**PROBE, "exec": None},
                        }
                    ]
                }
            }
        }
    }
    cluster.kubectl(
        "--namespace", NAMESPACE, "patch", "deployment/flagger", "--patch", json.dumps(patch)
    )
    cluster.kubectl(
        "--namespace", NAMESPACE, "rollout", "status", "deployment/flagger", "--timeout=90s"
    )


class Flagger:
    """A Deployment of the pods that fairway would write, and a Canary over it."""

    def __init__(self, cluster: Cluster, *, name: str, analysis: Analysis) -> None:
        self.name, self.host, self._cluster, self._models = (
            name,
            f"{name}.test",
            cluster,
            ours.models(cluster),
        )
        self.patience = (analysis.threshold + 3) * sections.parse_duration(
            analysis.interval
        ).total_seconds() + 60
        install(cluster)
        self.end()
        self._deploy("stable", "sound")
        manifest = TEMPLATES.read_text()
        for key, value in {"name": name, **asdict(analysis)}.items():
            manifest = manifest.replace("${" + key.upper() + "}", str(value))
        cluster.kubectl("apply", "--server-side", "--filename=-", input=manifest)
        self._wait("Initialized")

    def begin(self, number: int) -> str:
        self._wait("Initialized", "Succeeded", "Failed")
        self._deploy(revision := f"candidate-{number}", "fragile")
        return revision

    def verdict(self) -> tuple[bool, str]:
        """Tell it from Flagger's log: of its Events the API client drops all but one in five
        minutes, after the first 25 of a Canary."""
        log = self._cluster.kubectl(
            "--namespace", NAMESPACE, "logs", "deployment/flagger", "--tail=-1"
        ).stdout
        found = halts(log, f"{self.name}.{world.NAMESPACE}")
        return bool(found) and all(
            f"advancement {METRIC} " in message for message in found
        ), "; ".join(found)

    def end(self) -> None:
        for kind in ("canary", "deployment", "backendtrafficpolicy"):
            self._cluster.kubectl(
                "--namespace",
                world.NAMESPACE,
                "delete",
                kind,
                self.name,
                "--ignore-not-found",
                "--wait",
            )
        gone = (
            "wait",
            "--for=delete",
            f"httproute/{self.name}",
            f"deployment/{self.name}-primary",
            "--timeout=60s",
        )  # by their owner, the Canary
        self._cluster.kubectl("--namespace", world.NAMESPACE, *gone)

    def _deploy(self, revision: str, model: str) -> None:
        deployment = ours.deployment(self.name, revision, self._models[model])
        # Flagger copies the template through types that do not know `sleep`, and what is left of
        # the hook is refused: the same pause by a program.
        pause = {"preStop": {"exec": {"command": ["sleep", str(runtimes.WITHDRAW_SECONDS)]}}}
        deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = pause
        self._cluster.kubectl(
            "apply", "--server-side", "--filename=-", input=yaml.safe_dump(deployment)
        )

    def _wait(self, *phases: str, seconds: float = 300) -> None:
        """Wait for the Canary to be in one of the phases."""
        ask = (
            "--namespace",
            world.NAMESPACE,
            "get",
            "canary",
            self.name,
            "--output=jsonpath={.status.phase}",
        )
        deadline = time.monotonic() + seconds
        while (phase := self._cluster.kubectl(*ask).stdout) not in phases:
            assert time.monotonic() < deadline, (
                f"the Canary is {phase or 'not begun'} after {seconds:.0f} s: wanted {' or '.join(phases)}"
            )
            time.sleep(0.5)


def halts(log: str, canary: str) -> list[str]:
    """Return what Flagger's log says of the Canary's failed looks, since its last revision came."""
    found: list[str] = []
    for line in log.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        message = str(entry.get("msg", ""))
        if entry.get("canary") == canary and message.startswith("New revision detected"):
            found = []
        elif entry.get("canary") == canary and message.startswith("Halt"):
            found.append(message)
    return found
