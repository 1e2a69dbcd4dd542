"""What a tenant may write moves nothing that is another's: not the administrator's objects, not the
operator, not the other tenants' rollouts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import world
from tests.cluster.cluster import Cluster
from tests.monitoring import processes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

SHORT = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50}]},
    "bake": {"weight": 5, "duration": "1s"},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}
RAW = "/apis/fairway.dev/v1alpha1/namespaces/models/modeldeployments"
OPERATOR = ("--namespace=fairway-system", "--selector=app.kubernetes.io/component=operator")


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    made = {
        "A": world.package(folder / "A"),
        "B": world.package(folder / "B", licence="Apache-2.0"),
    }
    return {name: store.put(package) for name, package in made.items()}


@pytest.fixture
def theirs(fairway) -> Iterator[dict[str, dict[str, Any]]]:
    """Return the administrator's own objects, which have names that a ModelDeployment may have too."""
    objects = {
        "networkpolicy/default-deny": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "default-deny"},
            "spec": {"podSelector": {"matchLabels": {"app": "shop"}}, "policyTypes": ["Ingress"]},
        },
        "httproute/shop": {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "shop"},
            "spec": {
                "parentRefs": [{"name": "models"}],
                "hostnames": ["shop.test"],
                "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}],
            },
        },
    }
    for obj in objects.values():
        world.apply(fairway, {**obj, "metadata": {**obj["metadata"], "namespace": world.NAMESPACE}})
    yield objects
    fairway.kubectl(
        "--namespace=models", "delete", "md", "shop", "default-deny", "--ignore-not-found"
    )
    fairway.kubectl("--namespace=models", "delete", *objects, "--ignore-not-found")


def read(cluster: Cluster, name: str) -> dict[str, Any]:
    return dict(
        json.loads(cluster.kubectl("--namespace=models", "get", name, "--output=json").stdout)
    )


def test_objects_of_the_administrator_stay_his_though_modeldeployments_have_their_names(
    fairway, models, theirs
):
    before = {name: read(fairway, name) for name in theirs}
    for name, refusal in (
        ("default-deny", "NetworkPolicy default-deny is not fairway's"),
        ("shop", "HTTPRoute shop is not fairway's"),
    ):
        world.apply(fairway, world.resource(name, models["A"], strategy=SHORT))
        world.until(
            fairway,
            name,
            lambda now, refusal=refusal: any(
                c["type"] == "Stalled" and c["status"] == "True" and refusal in c["message"]
                for c in now.get("conditions", ())
            ),
        )
        events = (
            "--namespace=models",
            "get",
            "events",
            f"--field-selector=involvedObject.name={name},reason=Stalled",
            "--output=jsonpath={.items[*].message}",
        )  # told after the status is
        processes.eventually(
            lambda refusal=refusal, events=events: refusal in fairway.kubectl(*events).stdout
        )
    fairway.kubectl("--namespace=models", "delete", "md", "shop", "default-deny")
    fairway.kubectl(
        "--namespace=models",
        "wait",
        "--for=delete",
        "services,deployments",
        "--timeout=120s",
        "--selector=fairway.dev/deployment in (shop, default-deny)",
    )  # the garbage collector has been there
    for name, found in before.items():
        now = read(fairway, name)
        assert (now["spec"], now["metadata"]["uid"]) == (found["spec"], found["metadata"]["uid"])
        assert "ownerReferences" not in now["metadata"]


def test_of_two_resources_for_one_host_the_younger_says_which_route_the_gateway_follows(
    fairway, models
):
    host = {"gateway": {"parentRefs": [{"name": "models"}], "hostnames": ["one.test"]}}
    try:
        for name in ("older", "younger"):
            world.apply(fairway, world.resource(name, models["A"], strategy=SHORT, **host))
            world.until(fairway, name, lambda now: now.get("phase") == "Stable")
        told = world.until(
            fairway,
            "younger",
            lambda now: any(
                c["type"] == "Stalled" and c["reason"] == "Overlaps"
                for c in now.get("conditions", ())
            ),
        )
        assert (
            "HTTPRoute models/older takes the same requests as this resource's, and is older"
            in json.dumps(told["conditions"])
        )
        world.until(
            fairway,
            "older",
            lambda now: any(
                c["type"] == "Stalled" and c["status"] == "False" for c in now.get("conditions", ())
            ),
        )
    finally:
        fairway.kubectl(
            "--namespace=models", "delete", "md", "older", "younger", "--ignore-not-found"
        )


def posted(cluster: Cluster, document: dict[str, Any], *, deep: str) -> None:
    """Create the object with what stands for `@deep` in it, as no well-behaved client would."""
    cluster.kubectl(
        "create", "--raw", RAW, "--filename=-", input=json.dumps(document).replace('"@deep"', deep)
    )


def test_objects_nested_without_end_keep_nobody_from_being_looked_at(fairway, models):
    brackets, fields = '{"a":' * 1500 + "1" + "}" * 1500, '{"f:a":' * 1500 + "{}" + "}" * 1500
    names = ["deep-template", "deep-fields", "deep-command", "neighbour"]
    entry = {
        "manager": "tenant",
        "operation": "Update",
        "apiVersion": "fairway.dev/v1alpha1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": "@deep",
    }
    template, managed, command = (
        world.resource(name, models["A"], strategy=SHORT, paused=True) for name in names[:3]
    )
    command["spec"]["paused"] = False
    template["spec"]["podTemplate"]["spec"]["affinity"] = "@deep"
    managed["metadata"]["managedFields"] = [entry]
    command["metadata"]["annotations"] = {"fairway.dev/command": '{"id":' * 3000 + "1" + "}" * 3000}
    try:
        for document, deep in ((template, brackets), (managed, fields), (command, "")):
            posted(fairway, document, deep=deep)
        stored = fairway.kubectl("get", "--raw", RAW).stdout
        assert stored.count('"f:a"') > 1000
        assert '"a":{"a":' not in stored  # what the definition knows is no deeper than a pod
        # the next one lists them all
        fairway.kubectl(*OPERATOR, "delete", "pods", "--grace-period=0", "--force")
        world.apply(fairway, world.resource("neighbour", models["A"], strategy=SHORT))
        world.until(fairway, "neighbour", world.digest_in_service(models["A"]))
        # it is looked at like any other
        world.until(fairway, "deep-fields", lambda now: bool(now.get("conditions")))
        told = fairway.kubectl(
            "--namespace=models",
            "get",
            "events",
            "--field-selector=involvedObject.name=deep-command,reason=Invalid",
            "--output=jsonpath={.items[*].message}",
        ).stdout
        assert "annotation fairway.dev/command is" in told
        log = fairway.kubectl(*OPERATOR, "logs", "--tail=-1").stdout
        assert "Traceback" not in log, log[-3000:]
    finally:
        fairway.kubectl("--namespace=models", "delete", "md", *names, "--ignore-not-found")


# -- what the API server itself refuses ------------------------------------------------------------

PLAIN: dict[str, Any] = {
    "containers": [{"name": "server", "resources": {"limits": {"memory": "1Gi"}}}],
    "nodeSelector": {"disk": "fast"},
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "imagePullSecrets": [{"name": "registry"}],
}
HOST: dict[str, tuple[dict[str, Any], str]] = {
    "the host's network": ({"hostNetwork": True}, "hostNetwork is set"),
    "the host's processes": ({"hostPID": True}, "hostPID or hostIPC is set"),
    "the host's files": (
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        "a volume is a hostPath",
    ),
    "the host's ports": (
        {"containers": [{"name": "side", "ports": [{"containerPort": 1, "hostPort": 80}]}]},
        "a container has a hostPort",
    ),
    "privileges": (
        {"containers": [{"name": "server", "securityContext": {"privileged": True}}]},
        "a container is privileged",
    ),
    "privileges later": (
        {
            "initContainers": [
                {"name": "fetch", "securityContext": {"allowPrivilegeEscalation": True}}
            ]
        },
        "a container is privileged",
    ),
    "a capability": (
        {
            "containers": [
                {"name": "server", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
            ]
        },
        "a container is privileged",
    ),
}
RUNS: dict[str, tuple[dict[str, Any], str]] = {  # what only who may create pods can have
    "a service account": ({"serviceAccountName": "admin"}, "names a service account"),
    "its token": ({"automountServiceAccountToken": True}, "mounts its token"),
    "a Secret's files": (
        {"volumes": [{"name": "key", "secret": {"secretName": "key"}}]},
        "a Secret that you may not read",
    ),
    "a Secret's value": (
        {
            "containers": [
                {
                    "name": "server",
                    "env": [
                        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}
                    ],
                }
            ]
        },
        "a Secret that you may not read",
    ),
    "a Secret's values": (
        {"containers": [{"name": "server", "envFrom": [{"secretRef": {"name": "key"}}]}]},
        "a Secret that you may not read",
    ),
    "a projected token": (
        {
            "volumes": [
                {
                    "name": "token",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]},
                }
            ]
        },
        "has a volume of a kind",
    ),
    "a projected Secret behind a kind that is null": (
        {
            "volumes": [
                {
                    "name": "key",
                    "emptyDir": None,
                    "projected": {"sources": [{"secret": {"name": "key"}}]},
                }
            ]
        },
        "has a volume of a kind",
    ),
}
EDITOR, OPERATOR_ACCOUNT = "--as=jo", "--as=system:serviceaccount:fairway-system:fairway-operator"


@pytest.fixture(scope="module")
def editors(fairway) -> Iterator[None]:
    """Let jo write ModelDeployments, and ann create pods besides."""

    def binding(name: str, role: str, user: str) -> dict[str, Any]:
        return {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": world.NAMESPACE},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role,
            },
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        }

    bindings = [
        binding("jo", "fairway-editor", "jo"),
        binding("ann", "fairway-editor", "ann"),
        binding("ann-edits", "edit", "ann"),
    ]
    for obj in bindings:
        world.apply(fairway, obj)
    yield
    fairway.kubectl(
        "--namespace=models",
        "delete",
        "rolebinding",
        *(obj["metadata"]["name"] for obj in bindings),
    )


def asked(cluster: Cluster, user: str, spec: dict[str, Any]) -> str:
    """Return what the API server says to a ModelDeployment with the pod's spec; nothing where it
    takes it."""
    document = world.resource(
        "asked",
        {"uri": "s3://models/a", "digest": f"sha256:{'a' * 64}"},
        podTemplate={"spec": spec},
    )
    done = cluster.kubectl(
        "create", "--dry-run=server", user, "--filename=-", input=json.dumps(document), check=False
    )
    return "" if done.returncode == 0 else done.stderr


def test_an_editor_asks_for_no_pod_that_his_own_role_could_not_make(fairway, editors):
    assert asked(fairway, EDITOR, PLAIN) == ""
    assert asked(fairway, EDITOR, {}) == ""
    container = {"name": "server", **dict.fromkeys(("env", "envFrom", "ports", "securityContext"))}
    nothing = {"volumes": None, "initContainers": None, "containers": [container]}
    assert asked(fairway, EDITOR, nothing) == ""  # as templates render what is left out
    for case, (spec, words) in (HOST | RUNS).items():
        assert words in asked(fairway, EDITOR, spec), case
    for case, (spec, words) in HOST.items():
        assert words in asked(fairway, "--as=ann", spec), case
    for case, (spec, _) in RUNS.items():
        assert asked(fairway, "--as=ann", spec) == "", case


def test_a_command_and_a_new_package_ask_for_no_new_pod_and_are_not_refused(fairway, editors):
    try:
        document = world.resource(
            "asked",
            {"uri": "s3://models/a", "digest": f"sha256:{'a' * 64}"},
            podTemplate={"spec": {"serviceAccountName": "reader"}},
            paused=True,
        )
        world.apply(fairway, document)  # the administrator's
        common = ("--namespace=models", "--dry-run=server", EDITOR)
        fairway.kubectl("annotate", "md", "asked", "fairway.dev/command={}", *common)
        fairway.kubectl(
            "patch",
            "md",
            "asked",
            "--type=merge",
            f'--patch={{"spec":{{"model":{{"digest":"sha256:{"b" * 64}"}}}}}}',
            *common,
        )
        done = fairway.kubectl(
            "patch",
            "md",
            "asked",
            "--type=merge",
            '--patch={"spec":{"image":"mine:1"}}',
            *common,
            check=False,
        )
        # an image of one's own would run as that account
        assert "names a service account" in done.stderr
    finally:
        fairway.kubectl("--namespace=models", "delete", "md", "asked", "--ignore-not-found")


def test_the_operator_s_account_writes_nothing_but_what_a_modeldeployment_controls(
    fairway, editors
):
    owner = {
        "apiVersion": "fairway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "name": "asked",
        "uid": "0" * 8,
        "controller": True,
    }
    ours = {"labels": {"app.kubernetes.io/managed-by": "fairway"}, "ownerReferences": [owner]}

    def said(metadata: dict[str, Any], *, namespace: str = world.NAMESPACE, **pod: Any) -> str:
        template = {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "a", "image": "a"}], **pod},
        }
        document = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "asked", "namespace": namespace, **metadata},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template},
        }
        return fairway.kubectl(
            "create",
            "--dry-run=server",
            OPERATOR_ACCOUNT,
            "--filename=-",
            input=json.dumps(document),
            check=False,
        ).stderr

    assert said(ours) == ""
    assert "only what a ModelDeployment controls" in said({"labels": ours["labels"]})
    assert "only what carries its label" in said({"ownerReferences": [owner]})
    assert "nothing in the cluster's own namespaces" in said(ours, namespace="kube-system")
    assert "hostNetwork is set" in said(ours, hostNetwork=True)
    elsewhere = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "any", "namespace": "default"},
            "spec": {"ports": [{"port": 80}]},
        }
    )
    # whoever else writes is not bound
    fairway.kubectl("create", "--dry-run=server", "--filename=-", input=elsewhere)
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "namespace": world.NAMESPACE},
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}},
    }
    world.apply(fairway, policy)
    try:
        taken = {**policy, "metadata": {**policy["metadata"], **ours}}
        done = fairway.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            OPERATOR_ACCOUNT,
            "--filename=-",
            input=json.dumps(taken),
            check=False,
        )
        assert "only what a ModelDeployment controls" in done.stderr
    finally:
        fairway.kubectl("--namespace=models", "delete", "networkpolicy/theirs")
