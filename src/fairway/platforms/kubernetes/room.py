"""What a cluster has room for and lets an account do, asked before a pipeline is sent there."""

from fairway import errors
from fairway.pipelines import capacity, compiled
from fairway.platforms.kubernetes import api


def objections(
    server: api.Api, documents: compiled.Documents, *, namespace: str, account: str
) -> tuple[str, ...]:
    """Return why the cluster would not run the pipeline to its end, one sentence each.

    Raises Forbidden where the caller may not list nodes or ask for others' rights.
    """
    nodes = [
        capacity.NodeOffer(
            room=one["status"]["allocatable"],
            labels=one["metadata"].get("labels") or {},
            taints=one["spec"].get("taints") or (),
        )
        for one in server.find("Node")
        if not one["spec"].get("unschedulable")
    ]
    return (
        *(capacity.unfit(documents, nodes) if nodes else ()),
        *_rights(server, documents, namespace=namespace, account=account),
    )


def _rights(
    server: api.Api, documents: compiled.Documents, *, namespace: str, account: str
) -> tuple[str, ...]:
    missing = [
        right
        for right in capacity.lacking(documents)
        if not _may(server, right, namespace=namespace, account=account)
    ]
    if not missing:
        return ()
    words = ", ".join(f"{right.verb} {right.resource}" for right in missing)
    return (
        f"the steps run as {account} of {namespace}, which may not {words}: bind it to the chart's role, "
        f"`helm upgrade --reuse-values --set pipelines.namespaces={{{namespace}}}`",
    )


def _may(server: api.Api, right: capacity.Right, *, namespace: str, account: str) -> bool:
    asked = {
        "user": f"system:serviceaccount:{namespace}:{account}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
        "resourceAttributes": {
            "namespace": namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
        },
    }
    found = server.review("SubjectAccessReview", asked)
    if "status" not in found:
        raise errors.PlatformError("the API server does not say what accounts may do")
    return bool(found["status"].get("allowed"))
