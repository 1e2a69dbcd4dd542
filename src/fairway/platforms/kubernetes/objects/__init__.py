"""The objects of a deployment and of its revisions: values in, manifests out. Pure."""

from fairway.config import resource
from fairway.platforms.kubernetes import runtimes
from fairway.platforms.kubernetes.objects import controllerrevision, names, pods, policies, scalers
from fairway.platforms.kubernetes.objects.controllerrevision import Revision


def for_revision(
    owner: names.Owner,
    revision: Revision,
    *,
    scaling: resource.Scaling,
    settings: names.ClusterSettings,
) -> list[names.Object]:
    """Return the Deployment, its Service, its autoscaler (where it may grow) and its
    PodDisruptionBudget.

    Seldon makes the first and the third itself.

    Raises ConfigError where the pod template cannot be merged.
    """
    service, budget = _service(owner, revision), scalers.budget(owner, revision)
    if revision.runtime == "seldon":
        return [service, budget]
    scaler = scalers.scaler(owner, revision, scaling, settings)
    deployment = pods.deployment(owner, revision, settings)
    if scaler is None:
        deployment["spec"]["replicas"] = scaling.min_replicas
    return [deployment, service, *([scaler] if scaler else []), budget]


def controller_revision(
    owner: names.Owner, revision: Revision, *, number: int, settings: names.ClusterSettings
) -> names.Object:
    """Return the object that keeps a revision."""
    template = pods.template(owner, revision, settings)
    return controllerrevision.write(owner, revision, number=number, template=template)


def for_deployment(
    owner: names.Owner, spec: resource.Spec, *, settings: names.ClusterSettings
) -> list[names.Object]:
    """Return what all revisions share: the NetworkPolicy, and the ServiceMonitor where the cluster
    knows them."""
    return [
        policies.network_policy(owner, spec.runtime, seldon_from=settings.seldon_from),
        *([policies.service_monitor(owner)] if settings.service_monitors else []),
    ]


def _service(owner: names.Owner, revision: Revision) -> names.Object:
    target = runtimes.SERVERS[revision.runtime].port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(owner, revision.name),
        "spec": {
            "type": "ClusterIP",
            "selector": names.selected(owner, revision.name),
            "ports": [
                {
                    "name": "http",
                    "port": names.PORT,
                    "targetPort": target,
                    "protocol": "TCP",
                    "appProtocol": "http",
                }
            ],
        },
    }
