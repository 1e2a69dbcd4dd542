"""fairway, as its chart installs it, and the packages and pods that its peers get too."""

import tempfile
from pathlib import Path
from typing import Any

from fairway.config import resource, sections
from fairway.platforms.kubernetes import objects
from fairway.platforms.kubernetes.objects import controllerrevision, names
from tests.cluster import images, world
from tests.cluster.cluster import Cluster

STRATEGY = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 25, "minDuration": "1h"}]},
    "falseRollback": 0.01,
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}

# On a machine that does other work too, an answer to a probe may take seconds: a pod that is
# withdrawn for that would be measured, not a controller.
POD = {
    "spec": {
        "containers": [
            {
                "name": "server",
                "resources": {"requests": {"cpu": "250m", "memory": "200Mi"}},
                "readinessProbe": {"timeoutSeconds": 10, "failureThreshold": 3},
            }
        ]
    }
}


def models(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Return `spec.model` of the package that serves and of the one that will fail, as they lie in
    the cluster's store."""
    store = world.store(cluster)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "sound": store.put(world.package(Path(folder) / "sound")),
            "fragile": store.put(world.package(Path(folder) / "fragile", fragile=True)),
        }


def deployment(name: str, revision: str, model: dict[str, str]) -> dict[str, Any]:
    """Return a Deployment of the pods that fairway's operator would write for the package, under
    the label `app` and without a number of replicas."""
    owner = names.Owner(name=name, namespace=world.NAMESPACE)
    what = controllerrevision.Revision(
        name=revision,
        model=resource.Model.model_validate(model),
        image=f"fairway/server:{images.tag()}",
        runtime="bentoml",
        serving=sections.Serving(reveal_revision=True),
        pod_template=POD,
        defaulted_image=False,
    )
    made = objects.for_revision(
        owner,
        what,
        scaling=resource.Scaling(min_replicas=1, max_replicas=1),
        settings=names.ClusterSettings(),
    )[0]
    template = made["spec"]["template"]
    del made["spec"]["replicas"]  # the peer's to say
    template["metadata"]["labels"] = {"app": name}
    del template["spec"]["topologySpreadConstraints"]  # over fairway's labels
    return {
        **made,
        "metadata": {"name": name, "namespace": world.NAMESPACE},
        "spec": {**made["spec"], "selector": {"matchLabels": {"app": name}}, "template": template},
    }


class Fairway:
    """A ModelDeployment whose new revisions stay at weight 25 for an hour."""

    name, host, patience = "fairway", "ours.test", 120.0

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._models = cluster, models(cluster)
        cluster.kubectl(
            "--namespace", world.NAMESPACE, "delete", "md", "ours", "--ignore-not-found", "--wait"
        )
        world.apply(
            cluster,
            world.resource("ours", self._models["sound"], strategy=STRATEGY, podTemplate=POD),
        )
        world.until(cluster, "ours", world.digest_in_service(self._models["sound"]))

    def begin(self, number: int) -> str:
        template = {
            "metadata": {"annotations": {"run": str(number)}},
            **POD,
        }  # a rejected revision is not tried again: each run has one of its own
        document = world.resource(
            "ours", self._models["fragile"], strategy=STRATEGY, podTemplate=template
        )
        before = world.status(self._cluster, "ours").get("candidate", {}).get("revision")
        world.apply(self._cluster, document)
        now = world.until(
            self._cluster,
            "ours",
            lambda now: now.get("phase") == "Canary" and now["candidate"]["revision"] != before,
        )
        return str(now["candidate"]["revision"])

    def verdict(self) -> tuple[bool, str]:
        reason = str(world.status(self._cluster, "ours").get("reason", ""))
        return reason.startswith("errors:"), reason

    def end(self) -> None:
        self._cluster.kubectl(
            "--namespace", world.NAMESPACE, "delete", "md", "ours", "--ignore-not-found", "--wait"
        )
