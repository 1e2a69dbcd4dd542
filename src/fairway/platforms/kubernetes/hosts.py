"""Which hosts the operator may call for a ModelDeployment's hooks.

The operator reaches more of the network than those who write ModelDeployments may: without a rule it would go there for them. Services of their own
namespace are open to it, and what whoever runs the operator has named.
"""

import fnmatch
from collections.abc import Collection
from urllib.parse import urlsplit

SERVICE = ("{}.svc", "{}.svc.cluster.local")   # after `NAME.`


def refusal(url: str, *, namespace: str, allowed: Collection[str]) -> str | None:
    """Gives why the URL must not be called for a deployment of the namespace, or None where it may."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    service, _, rest = host.partition(".")
    if service and rest in {form.format(namespace) for form in SERVICE}:
        return None
    if any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in allowed):
        return None
    others = f", or one of {', '.join(allowed)}" if allowed else ""
    return f"the operator does not call host {host!r}: wanted a Service of the namespace, NAME.{namespace}.svc{others} (operator.hookHosts of the chart)"
