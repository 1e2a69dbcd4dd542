"""Where the operator goes for those who write ModelDeployments, and where it does not."""

from typing import Any

import pytest

from fairway import errors
from fairway.platforms.kubernetes import hosts


@pytest.mark.parametrize(
    "url",
    [
        "http://gate.models.svc/ask",
        "https://gate.models.svc.cluster.local:8443/",
        "http://GATE.models.svc./",
        "http://gate.models.svc",
    ],
)
def test_services_of_the_own_namespace_are_open(url: str) -> None:
    assert hosts.refusal(url, namespace="models", allowed=()) is None
    assert hosts.service(url, namespace="models") == "gate"


@pytest.mark.parametrize(
    "url",
    [
        "http://gate.other.svc/",
        "http://169.254.169.254/latest",
        "http://gate.models.svc.example.com/",
        "http://gate.models.svc@example.com/",
        "http://models.svc/",
        "http://.models.svc/",
        "http://a.b.models.svc/",
        "http://gate.models/",
        "http://kubernetes.default.svc/",
        "http://gate/",
        "http://example.com/?.models.svc",
    ],
)
def test_nothing_else_is(url: str) -> None:
    said = hosts.refusal(url, namespace="models", allowed=("hooks.example.org",))
    assert said is not None
    assert "wanted a Service of the namespace, NAME.models.svc, or one of hooks.example.org" in said


def test_who_runs_the_operator_may_name_others() -> None:
    allowed = ("hooks.example.org", "*.internal.example.org")
    assert hosts.refusal("https://hooks.example.org/x", namespace="models", allowed=allowed) is None
    assert (
        hosts.refusal("https://a.internal.example.org/x", namespace="models", allowed=allowed)
        is None
    )
    assert (
        hosts.refusal("https://internal.example.org/x", namespace="models", allowed=allowed)
        is not None
    )


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "there is no Service gate in the namespace"),
        (
            {"spec": {"type": "ExternalName", "externalName": "localhost", "selector": {"a": "b"}}},
            "selects no pods",
        ),
        ({"spec": {"type": "ClusterIP"}}, "selects no pods"),
        ({"spec": {"selector": {}}}, "selects no pods"),
    ],
)
def test_a_service_that_leads_elsewhere_is_not_called(
    found: dict[str, object] | None, says: str
) -> None:
    assert says in (hosts.not_a_pod_service("gate", found) or "")


def test_a_service_that_selects_pods_is() -> None:
    assert (
        hosts.not_a_pod_service(
            "gate", {"spec": {"type": "ClusterIP", "selector": {"app": "gate"}}}
        )
        is None
    )


SERVICE = {
    "metadata": {"name": "gate"},
    "spec": {
        "selector": {"app": "gate"},
        "ports": [{"port": 80, "targetPort": "web"}, {"port": 443, "targetPort": 8443}],
    },
}


def pod(name: str, address: str, **more: Any) -> dict[str, Any]:
    spec = {
        "containers": [{"name": "gate", "ports": [{"name": "web", "containerPort": 8080}]}],
        **more,
    }
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_a_service_is_called_at_a_pod_that_it_selects() -> None:
    assert hosts.pod(
        "http://gate.models.svc/", SERVICE, [pod("b", "10.0.0.2"), pod("a", "10.0.0.1")]
    ) == (
        "10.0.0.1",
        8080,
    )
    assert hosts.pod("https://gate.models.svc/", SERVICE, [pod("a", "10.0.0.1")]) == (
        "10.0.0.1",
        8443,
    )


UNREADY = {**pod("a", "10.0.0.1"), "status": {"podIP": "10.0.0.1"}}
ENDING = {
    **pod("a", "10.0.0.1"),
    "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
}


@pytest.mark.parametrize(
    ("url", "pods"),
    [
        ("http://gate.models.svc/", []),
        ("http://gate.models.svc:8081/", [pod("a", "10.0.0.1")]),
        ("http://gate.models.svc/", [UNREADY]),
        ("http://gate.models.svc/", [ENDING]),
        ("http://gate.models.svc/", [pod("a", "192.168.0.9", hostNetwork=True)]),
        ("http://gate.models.svc/", [pod("a", "169.254.169.254")]),
        ("http://gate.models.svc/", [pod("a", "127.0.0.1")]),
    ],
    ids=[
        "no pod",
        "no such port",
        "not ready",
        "about to end",
        "on the host's network",
        "link-local",
        "loopback",
    ],
)
def test_no_other_place_is_a_service_s(url: str, pods: list[dict[str, Any]]) -> None:
    with pytest.raises(errors.Unavailable, match="Service gate has no"):
        hosts.pod(url, SERVICE, pods)


FORBIDDEN = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "169.254.169.254",
    "10.96.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_not_called_unless_its_network_is_named(address: str) -> None:
    with pytest.raises(errors.Unavailable, match="has no address that the operator calls"):
        hosts.outside("gate.example.com", [address], networks=["10.20.0.0/16", "fd12::/16"])


def test_the_first_address_that_may_be_called_is() -> None:
    assert (
        hosts.outside("gate.example.com", ["127.0.0.1", "93.184.215.14"], networks=())
        == "93.184.215.14"
    )
    assert (
        hosts.outside("gate.example.com", ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"], networks=())
        == "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
    )
    assert (
        hosts.outside(
            "gate.example.com", ["169.254.169.254", "10.20.3.4"], networks=["10.20.0.0/16"]
        )
        == "10.20.3.4"
    )


def test_a_network_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(errors.UsageError, match="wanted a network such as"):
        hosts.network("10.20.0.1/16")
