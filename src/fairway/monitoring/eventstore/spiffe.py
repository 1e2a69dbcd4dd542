"""Whose a certificate is: its SPIFFE id, `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT`.
Pure.

That form is what Istio and cert-manager's csi-driver-spiffe write. TLS has checked by then that the
certificate is of a CA that is believed.
"""

import re
import ssl
from collections.abc import Mapping
from typing import Any

from fairway import tls
from fairway.monitoring.eventstore import access, cloudevents

WORKLOAD = re.compile(r"spiffe://([a-z0-9._-]{1,255})/ns/([a-z0-9-]{1,63})/sa/([a-z0-9.-]{1,253})")
POD = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # it becomes a part of a URL


def workload(
    certificate: Mapping[str, Any] | None, *, trust_domain: str, pod: str, address: str, now: float
) -> access.Workload:
    """Return whose the certificate is, as `ssl.getpeercert` has it, and which pod the caller says
    that it is.

    Raises Unauthenticated for one that is missing, out of date by now, of another trust domain or
    of another form.
    """
    wanted = f"wanted one with the URI spiffe://{trust_domain}/ns/NAMESPACE/sa/SERVICEACCOUNT alone"
    if not certificate:
        raise access.Unauthenticated(
            f"the client certificate is missing: {wanted}, by a CA of --client-ca"
        )
    ids = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    found = WORKLOAD.fullmatch(ids[0]) if len(ids) == 1 else None
    if found is None or found[1] != trust_domain:
        seen = cloudevents.shown(" ".join(ids)) if ids else "no URI"
        raise access.Unauthenticated(f"the client certificate is for {seen}: {wanted}")
    if ssl.cert_time_to_seconds(certificate["notAfter"]) < now:  # the connection was made before
        raise access.Unauthenticated(
            f"the client certificate of {ids[0]} ended at {certificate['notAfter']}: wanted a connection with its "
            f"successor"
        )
    if not pod:
        return access.Workload(found[2], found[3])
    if not POD.fullmatch(pod):
        raise access.Unauthenticated(
            f"{tls.POD_HEADER} is {cloudevents.shown(pod)}: wanted the name of a pod"
        )
    return access.Workload(found[2], found[3], pod, address)
