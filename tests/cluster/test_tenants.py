"""What a tenant may write moves nothing that is another's: not the administrator's objects, not the operator, not the other tenants' rollouts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SHORT = {"warmup": "0s", "shadow": {"enabled": False}, "canary": {"steps": [{"weight": 50}]}, "bake": {"weight": 5, "duration": "1s"},
         "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}]}
RAW = "/apis/fairway.dev/v1alpha1/namespaces/models/modeldeployments"
OPERATOR = ("--namespace=fairway-system", "--selector=app.kubernetes.io/component=operator")


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    made = {"A": world.package(folder / "A"), "B": world.package(folder / "B", licence="Apache-2.0")}
    return {name: store.put(package) for name, package in made.items()}


@pytest.fixture
def theirs(fairway) -> Iterator[dict[str, dict[str, Any]]]:
    """Gives the administrator's own objects, which have names that a ModelDeployment may have too."""
    objects = {
        "networkpolicy/default-deny": {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "default-deny"},
                                       "spec": {"podSelector": {"matchLabels": {"app": "shop"}}, "policyTypes": ["Ingress"]}},
        "httproute/shop": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
                           "spec": {"parentRefs": [{"name": "models"}], "hostnames": ["shop.test"],
                                    "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]}},
    }
    for obj in objects.values():
        world.apply(fairway, {**obj, "metadata": {**obj["metadata"], "namespace": world.NAMESPACE}})
    yield objects
    fairway.kubectl("--namespace=models", "delete", "md", "shop", "default-deny", "--ignore-not-found")
    fairway.kubectl("--namespace=models", "delete", *objects, "--ignore-not-found")


def read(cluster: Cluster, name: str) -> dict[str, Any]:
    return dict(json.loads(cluster.kubectl("--namespace=models", "get", name, "--output=json").stdout))


def test_objects_of_the_administrator_stay_his_though_modeldeployments_have_their_names(fairway, models, theirs):
    before = {name: read(fairway, name) for name in theirs}
    for name, refusal in (("default-deny", "NetworkPolicy default-deny is not fairway's"), ("shop", "HTTPRoute shop is not fairway's")):
        world.apply(fairway, world.resource(name, models["A"], strategy=SHORT))
        world.until(fairway, name, lambda now, refusal=refusal: any(
            c["type"] == "Stalled" and c["status"] == "True" and refusal in c["message"] for c in now.get("conditions", ())))
        assert refusal in fairway.kubectl("--namespace=models", "get", "events", f"--field-selector=involvedObject.name={name},reason=Stalled",
                                          "--output=jsonpath={.items[*].message}").stdout
    fairway.kubectl("--namespace=models", "delete", "md", "shop", "default-deny")
    fairway.kubectl("--namespace=models", "wait", "--for=delete", "services,deployments", "--timeout=120s",
                    "--selector=fairway.dev/deployment in (shop, default-deny)")   # the garbage collector has been there
    for name, found in before.items():
        now = read(fairway, name)
        assert (now["spec"], now["metadata"]["uid"]) == (found["spec"], found["metadata"]["uid"])
        assert "ownerReferences" not in now["metadata"]


def posted(cluster: Cluster, document: dict[str, Any], *, deep: str) -> None:
    """Creates the object with what stands for `@deep` in it, as no well-behaved client would."""
    cluster.kubectl("create", "--raw", RAW, "--filename=-", input=json.dumps(document).replace('"@deep"', deep))


def test_objects_nested_without_end_keep_nobody_from_being_looked_at(fairway, models):
    brackets, fields = '{"a":' * 1500 + "1" + "}" * 1500, '{"f:a":' * 1500 + "{}" + "}" * 1500
    names = ["deep-template", "deep-fields", "deep-command", "neighbour"]
    entry = {"manager": "tenant", "operation": "Update", "apiVersion": "fairway.dev/v1alpha1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
             "fieldsV1": "@deep"}
    template, managed, command = (world.resource(name, models["A"], strategy=SHORT, paused=True) for name in names[:3])
    command["spec"]["paused"] = False
    template["spec"]["podTemplate"]["spec"]["affinity"] = "@deep"
    managed["metadata"]["managedFields"] = [entry]
    command["metadata"]["annotations"] = {"fairway.dev/command": '{"id":' * 3000 + "1" + "}" * 3000}
    try:
        for document, deep in ((template, brackets), (managed, fields), (command, "")):
            posted(fairway, document, deep=deep)
        stored = fairway.kubectl("get", "--raw", RAW).stdout
        assert stored.count('"f:a"') > 1000
        assert '"a":{"a":' not in stored   # what the definition knows is no deeper than a pod
        fairway.kubectl(*OPERATOR, "delete", "pods", "--grace-period=0", "--force")   # the next one lists them all
        world.apply(fairway, world.resource("neighbour", models["A"], strategy=SHORT))
        world.until(fairway, "neighbour", world.digest_in_service(models["A"]))
        world.until(fairway, "deep-fields", lambda now: bool(now.get("conditions")))   # it is looked at like any other
        told = fairway.kubectl("--namespace=models", "get", "events", "--field-selector=involvedObject.name=deep-command,reason=Invalid",
                               "--output=jsonpath={.items[*].message}").stdout
        assert "annotation fairway.dev/command is" in told
        log = fairway.kubectl(*OPERATOR, "logs", "--tail=-1").stdout
        assert "Traceback" not in log, log[-3000:]
    finally:
        fairway.kubectl("--namespace=models", "delete", "md", *names, "--ignore-not-found")
