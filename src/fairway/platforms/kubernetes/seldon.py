"""Runtime seldon: one SeldonDeployment whose predictors are the revisions. Pure.

What Seldon Core 1.17.1 makes of it, and what follows:

* Of each predictor a Deployment, named after it all and hashed beyond 63 characters: it is found by our labels, which
  the pods get from `componentSpecs[0].metadata`.
* Of each predictor a Service, but only once every predictor's pods are ready. Requests are sent through a Service of
  our own, which is there at once; it has the name that Seldon would take, so Seldon's is given another.
* `seldon.io/no-engine`: no orchestrator in front of a graph of one node.
* Without a port named `metrics` the webhook adds one, and numbers it by the predictor's place: pods would restart when
  another predictor goes.
* The webhook wants the weights of several predictors to sum up to 100, counts no shadow among them, and allows one
  shadow.
* `shadow` is a label of the pods: with routing seldon a candidate's pods are replaced where shadow ends.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.config import resource
from fairway.platforms.kubernetes.objects import controllerrevision, names, pods, scalers
from fairway.rollout import traffic
from fairway.rollout.states import TOTAL


def deployment(
    owner: names.Owner,
    revisions: Sequence[controllerrevision.Revision],
    *,
    scaling: resource.Scaling,
    settings: names.ClusterSettings,
    stable: str,
    route: traffic.Route | None = None,
) -> dict[str, Any]:
    """Return the SeldonDeployment that runs the revisions.

    `route` where Seldon's own ingress divides the requests, else the gateway does.

    Raises ConfigError where a pod template cannot be merged.
    """
    ordered = sorted(revisions, key=lambda revision: (revision.number, revision.name))
    predictors = [
        _predictor(owner, revision, scaling=scaling, settings=settings)
        | _share(revision.name, stable=stable, route=route)
        for revision in ordered
    ]
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": names.metadata(owner),
        "spec": {"protocol": "seldon", "transport": "rest", "predictors": predictors},
    }


def revisions(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the revisions that a SeldonDeployment of ours runs."""
    return tuple(
        predictor["name"] for predictor in (found or {}).get("spec", {}).get("predictors", ())
    )


def made(deployment: Mapping[str, Any], *, owner: names.Owner) -> bool:
    """Return whether Seldon made the Deployment for the owner's SeldonDeployment, which has the
    owner's name."""
    references = deployment["metadata"].get("ownerReferences") or ()
    return any(
        one.get("controller")
        and (one.get("kind"), one.get("name")) == ("SeldonDeployment", owner.name)
        for one in references
    )


def trouble(found: Mapping[str, Any] | None) -> str:
    """Return why Seldon cannot do what is asked, in its own words; nothing where it says nothing."""
    status = (found or {}).get("status", {})
    return (
        f"Seldon says: {str(status['description'])[:400]}"
        if status.get("state") == "Failed" and status.get("description")
        else ""
    )


def unmet(spec: resource.Spec, *, seldon: bool, ingress: bool) -> str | None:
    """Return what runtime seldon needs and the cluster has not got."""
    if spec.runtime != "seldon":
        return None
    if not seldon:
        return (
            "runtime seldon needs Seldon Core, which this cluster has not got: install its operator (1.17), or create "
            "the resource with runtime bentoml"
        )
    if spec.routing == "seldon" and not ingress:
        return (
            "routing seldon needs Seldon's ingress, Istio or Ambassador, which this cluster has not got: install one, "
            "or use routing gateway"
        )
    return None


def _predictor(
    owner: names.Owner,
    revision: controllerrevision.Revision,
    *,
    scaling: resource.Scaling,
    settings: names.ClusterSettings,
) -> dict[str, Any]:
    template = pods.template(owner, revision, settings)
    component: dict[str, Any] = {"metadata": template["metadata"], "spec": template["spec"]}
    predictor: dict[str, Any] = {
        "name": revision.name,
        "labels": {"version": revision.name},
        "graph": {"name": pods.SERVER, "type": "MODEL"},
        "annotations": {
            "seldon.io/no-engine": "true",
            "seldon.io/svc-name": _service_name(owner, revision),
            "version": revision.name,
        },
        "componentSpecs": [component],
    }
    if scaling.max_replicas == scaling.min_replicas:
        return predictor | {"replicas": scaling.min_replicas}
    if scalers.by_concurrency(scaling, settings=settings):
        component["kedaSpec"] = {
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "triggers": [scalers.concurrency_trigger(owner, revision, scaling, settings=settings)],
        }
    else:
        component["hpaSpec"] = {
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metricsv2": [scalers.cpu_metric(scaling)],
        }
    return predictor


def _share(revision: str, *, stable: str, route: traffic.Route | None) -> dict[str, Any]:
    if route is None:
        return {"traffic": TOTAL if revision == stable else 0}
    if revision == route.candidate:
        return (
            {"shadow": True, "traffic": route.mirror} if route.mirror else {"traffic": route.weight}
        )
    return {"traffic": TOTAL - route.weight if revision == route.stable else 0}


def _service_name(owner: names.Owner, revision: controllerrevision.Revision) -> str:
    return f"seldon-{resource.fingerprint({'deployment': owner.name, 'revision': revision.name})}"
