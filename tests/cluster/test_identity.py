"""Certificates instead of tokens on a cluster: a rollout by the evidence that they let through, and
their refusals."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.cluster import certificates, stack, world
from tests.cluster.cluster import Cluster
from tests.cluster.test_access import prediction
from tests.monitoring import mounted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
NAME = "certified"
SERVICE = "fairway-collector.fairway-system.svc"
DOMAIN = "spiffe://cluster.local/ns"
SECRETS = {
    ("fairway-system", "fairway-collector-tls"): {"hosts": ("fairway-collector", SERVICE)},
    ("fairway-system", "fairway-operator-tls"): {
        "uris": (f"{DOMAIN}/fairway-system/sa/fairway-operator",)
    },
    ("fairway-system", "fairway-monitor-tls"): {
        "uris": (f"{DOMAIN}/fairway-system/sa/fairway-monitor",)
    },
    ("models", "fairway-server-tls"): {"uris": (f"{DOMAIN}/models/sa/default",)},
}
# Sends each event as the pod that it names, with or without the server's own certificate.
ASK = """
import http.client, json, os, ssl, sys
folder, answers = os.environ["FAIRWAY_COLLECTOR_CERTIFICATES"], []
for one in json.load(sys.stdin):
    context = ssl.create_default_context(cafile=folder + "/ca.crt")
    if one["certificate"]:
        context.load_cert_chain(folder + "/tls.crt", folder + "/tls.key")
    connection = http.client.HTTPSConnection(sys.argv[1], 8080, context=context, timeout=20)
    headers = {"content-type": "application/json", "x-fairway-pod": one["pod"] or os.environ["FAIRWAY_POD"]}
    connection.request("POST", "/v1/events", json.dumps([one["event"]]), headers)
    answer = connection.getresponse()
    answers.append([answer.status, answer.read(300).decode()])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def certified(fairway: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return the cluster with `collector.identity: mtls`, until the module ends."""
    authority = certificates.Authority(tmp_path_factory.mktemp("authority"), name="authority")
    for (namespace, name), asked in SECRETS.items():
        files = mounted.secret(authority, **asked)
        data = {key: base64.b64encode(content).decode() for key, content in files.items()}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/tls",
            "data": data,
        }
        fairway.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(document))
    stack.install_fairway(fairway, "collector.identity=mtls")
    yield fairway
    fairway.kubectl("--namespace=models", "delete", "md", NAME, "--ignore-not-found")
    stack.install_fairway(fairway)


def test_a_rollout_is_judged_by_evidence_that_came_with_certificates(
    certified: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, store = tmp_path_factory.mktemp("packages"), world.store(certified)
    first, second = (
        store.put(world.package(folder / name, licence=name)) for name in ("MIT", "Apache-2.0")
    )
    world.apply(certified, world.resource(NAME, first))
    stable = world.until(certified, NAME, world.digest_in_service(first))["stable"]["revision"]
    table = [
        ("its own", True, "", prediction(stable, deployment=NAME, request="its own"), 202),
        ("without a certificate", False, "", prediction(stable, deployment=NAME), 401),
        ("as a pod that is nowhere", True, "made-up", prediction(stable, deployment=NAME), 401),
        ("as a pod without that address", True, "store", prediction(stable, deployment=NAME), 401),
        ("another revision's", True, "", prediction("0123456789ab", deployment=NAME), 403),
        (
            "another namespace's",
            True,
            "",
            prediction(stable, deployment=NAME, namespace="default"),
            403,
        ),
    ]
    [neighbour] = certified.kubectl(
        "--namespace=models",
        "get",
        "pods",
        "--selector=app=store",
        "--output=jsonpath={.items[0].metadata.name}",
    ).stdout.split()
    asked = [
        {"certificate": shown, "pod": neighbour if pod == "store" else pod, "event": event}
        for _, shown, pod, event, _ in table
    ]
    argv = [
        "--namespace=models",
        "exec",
        "--stdin",
        f"deployment/{NAME}-{stable}",
        "--container=server",
        "--",
    ]
    done = certified.kubectl(*argv, "python", "-c", ASK, SERVICE, input=json.dumps(asked))
    answers = json.loads(done.stdout)
    assert [
        (what, status, answer)
        for (what, *_, status), answer in zip(table, answers, strict=True)
        if answer[0] != status
    ] == []
    with world.traffic(
        certified, NAME
    ) as traffic:  # its shadow needs pairs: servers write them, and the operator reads
        world.apply(certified, world.resource(NAME, second))
        world.until(certified, NAME, world.digest_in_service(second), seconds=600)
    assert traffic.failed == 0
