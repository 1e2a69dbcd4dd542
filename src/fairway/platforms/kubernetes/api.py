"""The API server, as the operator and the command line need it: apply, get, list, delete, status.

The only home of `kubernetes`.

Objects are plain dicts, as in a manifest. An answer of the API server becomes one of ours: None for
what is not there, `Conflict` where somebody wrote in between, `Unavailable` where it does not
answer, `PlatformError` with its sentence for the rest.
"""

import json
from collections.abc import Mapping
from typing import Any

import kubernetes.client
import kubernetes.config
import urllib3

from fairway import budget, errors
from fairway.config import resource
from fairway.platforms.kubernetes import shallow

MANAGER = "fairway-operator"
TIMEOUT_SECONDS = 10.0
Object = dict[str, Any]

# kind -> path of its API, and its plural
KINDS = {
    "ModelDeployment": (f"/apis/{resource.GROUP}/{resource.VERSION}", resource.PLURAL),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "ControllerRevision": ("/apis/apps/v1", "controllerrevisions"),
    "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"),
    "Node": ("/api/v1", "nodes"),
    "Event": ("/api/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "CronJob": ("/apis/batch/v1", "cronjobs"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "HTTPRoute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "BackendTrafficPolicy": ("/apis/gateway.envoyproxy.io/v1alpha1", "backendtrafficpolicies"),
    "ServiceMonitor": ("/apis/monitoring.coreos.com/v1", "servicemonitors"),
    "ScaledObject": ("/apis/keda.sh/v1alpha1", "scaledobjects"),
    "TrainJob": ("/apis/trainer.kubeflow.org/v1alpha1", "trainjobs"),
    "SeldonDeployment": ("/apis/machinelearning.seldon.io/v1", "seldondeployments"),
    "VirtualService": ("/apis/networking.istio.io/v1alpha3", "virtualservices"),
    "TokenReview": ("/apis/authentication.k8s.io/v1", "tokenreviews"),
    "SubjectAccessReview": ("/apis/authorization.k8s.io/v1", "subjectaccessreviews"),
    "Mapping": ("/apis/getambassador.io/v2", "mappings"),
}


class Conflict(errors.Temporary):
    """Somebody wrote the object in between: look again."""


class Api:
    """One API server; its methods may be called from several threads."""

    def __init__(self, client: kubernetes.client.ApiClient) -> None:
        self._client = client

    def apply(self, obj: Mapping[str, Any], *, manager: str = MANAGER) -> Object:
        """Make the object what it should be (server-side apply; what other managers set besides
        stays), and return what it is now.
        """
        metadata = obj["metadata"]
        path = self._path(obj["kind"], metadata["namespace"], metadata["name"])
        return self._call(
            "PATCH",
            path,
            body=obj,
            content="application/apply-patch+yaml",
            query=[("fieldManager", manager), ("force", "true")],
        )

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            return self._call("GET", self._path(kind, namespace, name))
        except NotFound:
            return None

    def find(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """Return the objects of a namespace (of all, for None) that carry the labels."""
        return list(
            self._call(
                "GET",
                self._path(kind, namespace),
                query=[("labelSelector", labels)] if labels else [],
            )["items"]
        )

    def create(self, obj: Mapping[str, Any], *, manager: str = MANAGER) -> Object:
        """Create the object; raises Conflict where one of its name is there."""
        return self._call(
            "POST",
            self._path(obj["kind"], obj["metadata"]["namespace"]),
            body=obj,
            query=[("fieldManager", manager)],
        )

    def unmanage(self, found: Object, *, manager: str = MANAGER) -> Object:
        """Let go of the fields that the manager has by creating the object, and return it as it is
        then.

        Those that it applies stay its own.

        Otherwise a field that is applied no more would stay for ever.
        """
        entries = found["metadata"].get("managedFields") or []
        kept = [
            entry
            for entry in entries
            if (entry.get("manager"), entry.get("operation"), entry.get("subresource"))
            != (manager, "Update", None)
        ]
        if len(kept) == len(entries):
            return found
        metadata = found["metadata"]
        patch = [
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": metadata["resourceVersion"],
            },  # of another version: a conflict
            {"op": "replace", "path": "/metadata/managedFields", "value": kept},
        ]
        return self._call(
            "PATCH",
            self._path(found["kind"], metadata["namespace"], metadata["name"]),
            body=patch,
            content="application/json-patch+json",
        )

    def replace(self, obj: Mapping[str, Any]) -> Object:
        """Write the object over the version that it was read at; raises Conflict where that is not
        the newest."""
        metadata = obj["metadata"]
        return self._call(
            "PUT", self._path(obj["kind"], metadata["namespace"], metadata["name"]), body=obj
        )

    def replace_status(self, obj: Mapping[str, Any]) -> Object:
        """Write the status over the version that the object was read at."""
        metadata = {
            key: value for key, value in obj["metadata"].items() if key != "managedFields"
        }  # they may have been too deep to be read whole
        return self._call(
            "PUT",
            self._path(obj["kind"], metadata["namespace"], metadata["name"]) + "/status",
            body={**obj, "metadata": metadata},
        )

    def merge(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge the patch into the object, as `kubectl annotate` does."""
        return self._call(
            "PATCH",
            self._path(kind, namespace, name),
            body=patch,
            content="application/merge-patch+json",
        )

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete the object (that of the uid, else Conflict) and, in the background, what it owns.

        One that is not there is none.
        """
        precondition = {"preconditions": {"uid": uid}} if uid is not None else {}
        try:
            self._call(
                "DELETE",
                self._path(kind, namespace, name),
                body={"propagationPolicy": "Background", **precondition},
            )
        except NotFound:
            return

    def review(self, kind: str, spec: Mapping[str, Any]) -> Object:
        """Return the status of a review, which the API server answers and does not keep."""
        prefix = KINDS[kind][0].removeprefix("/apis/")
        status: Object = self._call(
            "POST",
            self._path(kind, None),
            body={"apiVersion": prefix, "kind": kind, "spec": dict(spec)},
        ).get("status", {})
        return status

    def serves(self, kind: str) -> bool:
        """Say whether the cluster knows the kind: a custom resource may not be installed."""
        prefix, plural = KINDS[kind]
        try:
            return any(found["name"] == plural for found in self._call("GET", prefix)["resources"])
        except NotFound:
            return False

    def _path(self, kind: str, namespace: str | None, name: str | None = None) -> str:
        prefix, plural = KINDS[kind]
        return "/".join(
            [
                prefix,
                *(["namespaces", namespace] if namespace else []),
                plural,
                *([name] if name else []),
            ]
        )

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: str = "application/json",
        query: list[tuple[str, str]] | None = None,
    ) -> Object:
        try:
            answer = self._client.call_api(
                path,
                method,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=budget.timeout(TIMEOUT_SECONDS),
            )
            found: Object = json.loads(shallow.cut(answer.data))
            return found
        except kubernetes.client.ApiException as error:
            raise _translated(error, f"{method} {path}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise errors.Unavailable(
                f"the API server does not answer {method} {path}: {error}"
            ) from error


class NotFound(errors.PlatformError):
    """There is no such object, or no such kind."""


class Forbidden(errors.PlatformError):
    """Whoever asks may not: the message says what a Role must allow."""


def connect(context: str | None = None) -> Api:
    """Return the cluster that `context` names, else the one that this pod runs in, else the current
    one of KUBECONFIG (or ~/.kube/config).
    """
    configuration = kubernetes.client.Configuration()
    if context is not None or not _in_cluster(configuration):
        try:
            kubernetes.config.load_kube_config(context=context, client_configuration=configuration)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise errors.UsageError(
                f"there is no cluster to speak to ({error}): set KUBECONFIG, or name a --context that it has"
            ) from error
    configuration.retries = False
    return Api(kubernetes.client.ApiClient(configuration))


def _in_cluster(configuration: kubernetes.client.Configuration) -> bool:
    try:
        kubernetes.config.load_incluster_config(client_configuration=configuration)
    except kubernetes.config.ConfigException:
        return False
    return True


def _translated(error: kubernetes.client.ApiException, request: str) -> errors.FairwayError:
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = " ".join(str(error.reason).split())
    sentence = f"the API server refused {request}: {said[:1000]}"
    match error.status:
        case 0 if (
            "CERTIFICATE_VERIFY_FAILED" not in said
        ):  # TLS that broke off in the middle: the client gives it as an answer
            return errors.Unavailable(sentence)
        case 404:
            return NotFound(sentence)
        case 409:
            return Conflict(sentence)
        case 422 if "metadata.uid" in said:  # an apply to what is another of the name by now
            return Conflict(sentence)
        case 401 | 403:
            return Forbidden(sentence)
        case 429 | 500 | 502 | 503 | 504:
            return errors.Unavailable(sentence)
    return errors.PlatformError(sentence)
