"""Callers of the collector as the API server knows them: TokenReview says who, SubjectAccessReview
what a role allows.

A token that is projected into a pod is bound to it: the review names the pod, and the pod's own
labels, which the operator wrote, say what it serves. Whoever may create pods in a namespace may
carry those labels there: a namespace is the boundary. A certificate says the service account; which
of its pods a caller is, the caller says, and is believed where the connection comes from that pod's
address.
"""

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.monitoring.eventstore import access
from fairway.platforms.kubernetes import api

POD_NAME, POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
SERVICE_ACCOUNT, SERVICE_ACCOUNTS = "system:serviceaccount:", "system:serviceaccounts"


class Reviews:
    """One API server's word."""

    def __init__(self, server: api.Api) -> None:
        self._server = server

    def identify(self, proof: access.Proof) -> access.Principal | None:
        """Return the caller; None where the API server does not know the token, or knows it for
        another audience, and where the caller is not the pod that it says it is."""
        return self._of_token(proof) if isinstance(proof, str) else self._of_certificate(proof)

    def _of_token(self, token: str) -> access.Principal | None:
        with _asking():
            status = self._server.review(
                "TokenReview", {"token": token, "audiences": [access.AUDIENCE]}
            )
        if not status.get("authenticated") or access.AUDIENCE not in status.get("audiences", ()):
            return None
        user = status["user"]
        return access.Principal(name=user["username"], serves=self._serves(user), subject=user)

    def _of_certificate(self, workload: access.Workload) -> access.Principal | None:
        """Return the service account with the groups that its token has."""
        name = f"{SERVICE_ACCOUNT}{workload.namespace}:{workload.account}"
        groups = [
            SERVICE_ACCOUNTS,
            f"{SERVICE_ACCOUNTS}:{workload.namespace}",
            "system:authenticated",
        ]
        caller = access.Principal(name=name, subject={"username": name, "groups": groups})
        if not workload.pod:
            return caller
        pod = self._pod(workload.namespace, workload.pod)
        if pod is None or not _is(pod, workload):
            return None
        return dataclasses.replace(caller, serves=_served(pod, workload.namespace))

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
            **{
                key: caller.subject[key]
                for key in ("uid", "groups", "extra")
                if caller.subject.get(key)
            },
        }
        with _asking():
            return bool(
                self._server.review(
                    "SubjectAccessReview", {**user, "resourceAttributes": asked}
                ).get("allowed")
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
        pod = self._pod(namespace, names[0])
        return (
            _served(pod, namespace)
            if pod is not None and pod["metadata"]["uid"] == uids[0]
            else None
        )

    def _pod(self, namespace: str, name: str) -> api.Object | None:
        with _asking():
            try:
                return self._server.get("Pod", namespace, name)
            # the collector has no Role in that namespace: it collects of no server there
            except api.Forbidden:
                return None


def _served(pod: Mapping[str, Any], namespace: str) -> access.Act | None:
    """Return the predictions that the pod may write; None where it is no server of a revision."""
    labels = pod["metadata"].get("labels", {})
    deployment, revision = (
        labels.get(f"{resource.GROUP}/{name}") for name in ("deployment", "revision")
    )
    return (
        access.Act("prediction", namespace, deployment, revision)
        if deployment and revision
        else None
    )


def _is(pod: Mapping[str, Any], workload: access.Workload) -> bool:
    """Say whether the caller is the pod: an address is a pod's alone while it runs, unless it is
    its node's."""
    spec, status = pod["spec"], pod.get("status", {})
    addresses = {_address(found["ip"]) for found in status.get("podIPs", ())}
    return (
        spec.get("serviceAccountName", "default") == workload.account
        and not spec.get("hostNetwork")
        and status.get("phase") == "Running"
        and _address(workload.address) in addresses
    )


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


@contextmanager
def _asking() -> Iterator[None]:
    """Raise Unavailable where the API server refuses the collector: that says nothing of the
    caller, who may come again.
    """
    try:
        yield
    except errors.PlatformError as error:
        raise errors.Unavailable(f"the collector may not ask who calls: {error}") from error
