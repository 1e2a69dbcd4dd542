"""Which hosts the operator may call for a ModelDeployment's hooks.

The operator reaches more of the network than those who write ModelDeployments may: without a rule
it would go there for them. Services of their own namespace are open to it, and what whoever runs
the operator has named. A name may stand for another place at any moment, so a place is an address:
that of a pod that the Service selects, or one that the name was resolved to and that is nobody's
private one.
"""

import fnmatch
import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fairway import errors

SERVICE = ("{}.svc", "{}.svc.cluster.local")  # after `NAME.`


def service(url: str, *, namespace: str) -> str | None:
    """Return the name of the namespace's Service that the URL is about, or None where it is about
    something else."""
    name, _, rest = _host(url).partition(".")
    return name if name and rest in {form.format(namespace) for form in SERVICE} else None


def refusal(url: str, *, namespace: str, allowed: Collection[str]) -> str | None:
    """Return why the URL must not be called for a deployment of the namespace, or None where it
    may, as far as its host says.
    """
    host = _host(url)
    if service(url, namespace=namespace) is not None or any(
        fnmatch.fnmatchcase(host, pattern.lower()) for pattern in allowed
    ):
        return None
    others = f", or one of {', '.join(allowed)}" if allowed else ""
    return (
        f"the operator does not call host {host!r}: wanted a Service of the namespace, NAME.{namespace}.svc{others} "
        "(operator.hookHosts of the chart)"
    )


def not_a_pod_service(name: str, found: Mapping[str, Any] | None) -> str | None:
    """Return why a Service must not be called: one that is no more than a name for another place
    leads anywhere."""
    spec = found.get("spec", {}) if found is not None else {}
    if found is None:
        return f"there is no Service {name} in the namespace"
    if spec.get("type") == "ExternalName" or not spec.get("selector"):
        return f"Service {name} selects no pods: wanted one that does, for the operator must not be sent elsewhere"
    return None


def pod(url: str, found: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> tuple[str, int]:
    """Return address and port of a pod that the Service selects. Raises Unavailable where none is
    ready for the port.

    Its own pods, not its endpoints: those anybody may write who may write EndpointSlices.
    """
    wanted = port(url)
    entry = next(
        (entry for entry in found["spec"].get("ports", ()) if entry.get("port") == wanted), None
    )
    if entry is None:
        raise errors.Unavailable(f"Service {found['metadata']['name']} has no port {wanted}")
    places = sorted(
        (address, number)
        for one in pods
        if (address := _answers(one)) and (number := _port(one, entry.get("targetPort", wanted)))
    )
    if not places:
        raise errors.Unavailable(
            f"Service {found['metadata']['name']} has no pod that is ready at port {wanted}: wanted one with an "
            "address of its own"
        )
    return places[0]


def outside(host: str, resolved: Iterable[str], *, networks: Collection[str]) -> str:
    """Return the first of the addresses that may be called: a public one, or one of the networks
    that whoever runs the operator has named.
    """
    allowed = [network(text) for text in networks]
    for text in resolved:
        address = _plain(text)
        if _public(address) or any(
            address in one for one in allowed if one.version == address.version
        ):
            return text
    raise errors.Unavailable(
        f"host {host!r} has no address that the operator calls: wanted a public one, or one of operator.hookNetworks "
        "of the chart"
    )


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network; raises UsageError where the text is none."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise errors.UsageError(
            f"--hook-network {text!r}: {error}; wanted a network such as 10.20.0.0/16"
        ) from error


def resolve(host: str) -> list[str]:
    """Return the addresses that the host has now."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise errors.Unavailable(f"host {host!r} has no address") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def port(url: str) -> int:
    """Return the port that the URL asks for."""
    place = urlsplit(url)
    return place.port or (443 if place.scheme == "https" else 80)


def name(url: str) -> str:
    """Return the host that the URL names."""
    return _host(url)


def _answers(one: Mapping[str, Any]) -> str | None:
    """Return the address of a pod that is ready and has one of its own: the host's network is not
    the namespace's."""
    status = one.get("status", {})
    ready = any(
        (condition.get("type"), condition.get("status")) == ("Ready", "True")
        for condition in status.get("conditions") or ()
    )
    if (
        not ready
        or one["metadata"].get("deletionTimestamp")
        or one.get("spec", {}).get("hostNetwork")
    ):
        return None
    address = str(status.get("podIP", ""))
    return (
        address
        if address and not _plain(address).is_loopback and not _plain(address).is_link_local
        else None
    )


def _port(one: Mapping[str, Any], target: Any) -> int | None:
    """Return the number that a Service's targetPort stands for in a pod."""
    if isinstance(target, int):
        return target
    spec = one.get("spec", {})
    containers = [*spec.get("containers", ()), *(spec.get("initContainers") or ())]
    return next(
        (
            int(entry["containerPort"])
            for container in containers
            for entry in container.get("ports") or ()
            if entry.get("name") == target
        ),
        None,
    )


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# NAT64: the last 32 bits are the address that is reached
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def _plain(text: str) -> Address:
    """Return the address that is reached by it, for an IPv6 address that stands for one of IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _public(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_link_local or address.is_loopback
    )


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")
