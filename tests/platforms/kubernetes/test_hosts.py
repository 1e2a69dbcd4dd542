"""Where the operator goes for those who write ModelDeployments, and where it does not."""

import pytest

from fairway.platforms.kubernetes import hosts


@pytest.mark.parametrize("url", ["http://gate.models.svc/ask", "https://gate.models.svc.cluster.local:8443/", "http://GATE.models.svc./", "http://gate.models.svc"])
def test_services_of_the_own_namespace_are_open(url: str) -> None:
    assert hosts.refusal(url, namespace="models", allowed=()) is None
    assert hosts.service(url, namespace="models") == "gate"


@pytest.mark.parametrize("url", [
    "http://gate.other.svc/", "http://169.254.169.254/latest", "http://gate.models.svc.example.com/", "http://gate.models.svc@example.com/", "http://models.svc/",
    "http://.models.svc/", "http://a.b.models.svc/", "http://gate.models/", "http://kubernetes.default.svc/", "http://gate/", "http://example.com/?.models.svc"])
def test_nothing_else_is(url: str) -> None:
    said = hosts.refusal(url, namespace="models", allowed=("hooks.example.org",))
    assert said is not None
    assert "wanted a Service of the namespace, NAME.models.svc, or one of hooks.example.org" in said


def test_who_runs_the_operator_may_name_others() -> None:
    allowed = ("hooks.example.org", "*.internal.example.org")
    assert hosts.refusal("https://hooks.example.org/x", namespace="models", allowed=allowed) is None
    assert hosts.refusal("https://a.internal.example.org/x", namespace="models", allowed=allowed) is None
    assert hosts.refusal("https://internal.example.org/x", namespace="models", allowed=allowed) is not None


@pytest.mark.parametrize(("found", "says"), [
    (None, "there is no Service gate in the namespace"),
    ({"spec": {"type": "ExternalName", "externalName": "localhost", "selector": {"a": "b"}}}, "selects no pods"),
    ({"spec": {"type": "ClusterIP"}}, "selects no pods"), ({"spec": {"selector": {}}}, "selects no pods"),
])
def test_a_service_that_leads_elsewhere_is_not_called(found: dict[str, object] | None, says: str) -> None:
    assert says in (hosts.astray("gate", found) or "")


def test_a_service_that_selects_pods_is() -> None:
    assert hosts.astray("gate", {"spec": {"type": "ClusterIP", "selector": {"app": "gate"}}}) is None
