"""Callers of the collector as the API server knows them: TokenReview says who, SubjectAccessReview what a role allows.

A token that is projected into a pod is bound to it: the review names the pod, and the pod's own labels, which the
operator wrote, say what it serves. Whoever may create pods in a namespace may carry those labels there: a namespace is
the boundary.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.monitoring.eventstore import access
from fairway.platforms.kubernetes import api

POD_NAME, POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
SERVICE_ACCOUNT = "system:serviceaccount:"


class Reviews:
    """One API server's word."""

    def __init__(self, server: api.Api) -> None:
        self._server = server

    def identify(self, token: str) -> access.Principal | None:
        """Return the caller, None where the API server does not know the token, or knows it for another audience."""
        with _asking():
            status = self._server.review("TokenReview", {"token": token, "audiences": [access.AUDIENCE]})
        if not status.get("authenticated") or access.AUDIENCE not in status.get("audiences", ()):
            return None
        user = status["user"]
        return access.Principal(name=user["username"], serves=self._serves(user), subject=user)

    def allows(self, caller: access.Principal, act: access.Act) -> bool:
        """Say whether the caller's roles allow the act in its namespace."""
        verb, kind = access.RIGHTS[act.kind]
        plural, _, part = kind.partition("/")
        asked = {
            "group": resource.GROUP,
            "resource": plural,
            "subresource": part,
            "verb": verb,
            "namespace": act.namespace,
            "name": act.deployment,
        }
        user = {
            "user": caller.subject["username"],
            **{key: caller.subject[key] for key in ("uid", "groups", "extra") if caller.subject.get(key)},
        }
        with _asking():
            return bool(
                self._server.review("SubjectAccessReview", {**user, "resourceAttributes": asked}).get("allowed")
            )

    def _serves(self, user: Mapping[str, Any]) -> access.Act | None:
        """Return the predictions of the server whose pod the token is bound to.

        None where it is another pod, or a token without one.
        """
        extra = user.get("extra") or {}
        names, uids = extra.get(POD_NAME), extra.get(POD_UID)
        if not names or not uids or not user["username"].startswith(SERVICE_ACCOUNT):
            return None
        namespace = user["username"].removeprefix(SERVICE_ACCOUNT).partition(":")[0]
        with _asking():
            try:
                pod = self._server.get("Pod", namespace, names[0])
            except api.Forbidden:  # the collector has no Role in that namespace: it collects of no server there
                return None
        if pod is None or pod["metadata"]["uid"] != uids[0]:
            return None
        labels = pod["metadata"].get("labels", {})
        deployment, revision = (labels.get(f"{resource.GROUP}/{name}") for name in ("deployment", "revision"))
        return access.Act("prediction", namespace, deployment, revision) if deployment and revision else None


@contextmanager
def _asking() -> Iterator[None]:
    """Raise Unavailable where the API server refuses the collector: that says nothing of the caller, who may come
    again.
    """
    try:
        yield
    except errors.PlatformError as error:
        raise errors.Unavailable(f"the collector may not ask who calls: {error}") from error
