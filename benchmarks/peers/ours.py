"""fairway, as its chart installs it."""

import tempfile
from pathlib import Path

from tests.cluster import world
from tests.cluster.cluster import Cluster

STRATEGY = {
    "warmup": "0s", "shadow": {"enabled": False}, "canary": {"steps": [{"weight": 25, "minDuration": "1h"}]}, "falseRollback": 0.01,
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}]}

# On a machine that does other work too, an answer to a probe may take seconds: a pod that is withdrawn for that would be measured, not a controller.
POD = {"spec": {"containers": [{"name": "server", "resources": {"requests": {"cpu": "250m", "memory": "200Mi"}},
                                "readinessProbe": {"timeoutSeconds": 10, "failureThreshold": 3}}]}}


def models(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Gives `spec.model` of the package that serves and of the one that will fail, as they lie in the cluster's store."""
    store = world.store(cluster)
    with tempfile.TemporaryDirectory() as folder:
        return {"sound": store.put(world.package(Path(folder) / "sound")), "fragile": store.put(world.package(Path(folder) / "fragile", fragile=True))}


class Fairway:
    """A ModelDeployment whose new revisions stay at weight 25 for an hour."""

    name, host, patience = "fairway", "ours.test", 120.0

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._models = cluster, models(cluster)
        cluster.kubectl("--namespace", world.NAMESPACE, "delete", "md", "ours", "--ignore-not-found", "--wait")
        world.apply(cluster, world.resource("ours", self._models["sound"], strategy=STRATEGY, podTemplate=POD))
        world.until(cluster, "ours", world.digest_in_service(self._models["sound"]))

    def begin(self, number: int) -> str:
        template = {"metadata": {"annotations": {"run": str(number)}}, **POD}   # a rejected revision is not tried again: each run has one of its own
        document = world.resource("ours", self._models["fragile"], strategy=STRATEGY, podTemplate=template)
        before = world.status(self._cluster, "ours").get("candidate", {}).get("revision")
        world.apply(self._cluster, document)
        now = world.until(self._cluster, "ours", lambda now: now.get("phase") == "Canary" and now["candidate"]["revision"] != before)
        return str(now["candidate"]["revision"])

    def verdict(self) -> tuple[bool, str]:
        reason = str(world.status(self._cluster, "ours").get("reason", ""))
        return reason.startswith("errors:"), reason

    def end(self) -> None:
        self._cluster.kubectl("--namespace", world.NAMESPACE, "delete", "md", "ours", "--ignore-not-found", "--wait")
