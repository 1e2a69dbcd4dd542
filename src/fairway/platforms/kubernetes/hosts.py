"""Which hosts the operator may call for a ModelDeployment's hooks.

The operator reaches more of the network than those who write ModelDeployments may: without a rule it would go there for them. Services of their own
namespace are open to it as long as they lead to pods, and what whoever runs the operator has named.
"""

import fnmatch
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

SERVICE = ("{}.svc", "{}.svc.cluster.local")   # after `NAME.`


def service(url: str, *, namespace: str) -> str | None:
    """Gives the name of the namespace's Service that the URL is about, or None where it is about something else."""
    name, _, rest = _host(url).partition(".")
    return name if name and rest in {form.format(namespace) for form in SERVICE} else None


def refusal(url: str, *, namespace: str, allowed: Collection[str]) -> str | None:
    """Gives why the URL must not be called for a deployment of the namespace, or None where it may, as far as its host says."""
    host = _host(url)
    if service(url, namespace=namespace) is not None or any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in allowed):
        return None
    others = f", or one of {', '.join(allowed)}" if allowed else ""
    return f"the operator does not call host {host!r}: wanted a Service of the namespace, NAME.{namespace}.svc{others} (operator.hookHosts of the chart)"


def astray(name: str, found: Mapping[str, Any] | None) -> str | None:
    """Gives why a Service must not be called: one that is no more than a name for another place leads anywhere."""
    spec = found.get("spec", {}) if found is not None else {}
    if found is None:
        return f"there is no Service {name} in the namespace"
    if spec.get("type") == "ExternalName" or not spec.get("selector"):
        return f"Service {name} selects no pods: wanted one that does, for the operator must not be sent elsewhere"
    return None


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")
