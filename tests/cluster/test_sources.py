"""Packages fetched inside the cluster from where users keep them: a bucket, a claim, a registry;
and one whose digest is another."""

import contextlib
import dataclasses
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster import certificates, stack, world
from tests.cluster.cluster import Cluster
from tests.packaging import buckets, published
from tests.serving import support

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
S3_PORT, REGISTRY_PORT = 9100, 9443
# A registry, as far as its readers see it: files below /v2, over TLS.
REGISTRY = """
import functools, http.server, ssl, sys
folder, certificate, key, port = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def node(fairway: Cluster) -> Cluster:
    """Return the cluster; its sources run in its node's network, which pods and this machine reach."""
    if fairway.folder is None:
        pytest.skip("the sources run on the harness's own node")
    return fairway


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Any:
    return world.package(tmp_path_factory.mktemp("package"))


@contextlib.contextmanager
def on_node(cluster: Cluster, log: Path, *argv: str) -> Iterator[None]:
    """Run a server in the node's network until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["nsenter", "--target", str(cluster.pid("kubelet")), "--net", *argv],
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url: str, *, authority: Path | None = None) -> bool:
    try:
        urllib.request.urlopen(
            url,
            timeout=2,
            context=ssl.create_default_context(cafile=str(authority)) if authority else None,
        ).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def bucket(node: Cluster, package, tmp_path_factory) -> Iterator[str]:
    """Return the endpoint of an S3 server whose bucket `models` holds the package below `income`; a
    Secret has its keys."""
    within = ("nsenter", "--target", str(node.pid("kubelet")), "--net")
    log = tmp_path_factory.mktemp("s3") / "log"
    with buckets.serving(log, host=node.address, port=S3_PORT, within=within) as endpoint:
        client = buckets.client(endpoint)
        client.create_bucket(Bucket="models")
        for name, content in files(package.path).items():
            client.put_object(Bucket="models", Key=f"income/{name}", Body=content)
        world.apply(
            node,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "bucket", "namespace": "models"},
                "stringData": buckets.KEYS,
            },
        )
        yield endpoint
    node.kubectl("--namespace=models", "delete", "secret", "bucket")


@pytest.fixture
def claim(node: Cluster, package, tmp_path: Path) -> Iterator[str]:
    """Return the name of a claim whose volume holds the package in the folder `income`."""
    (tmp_path / "volume").mkdir(mode=0o755)
    for name, content in files(package.path).items():
        (tmp_path / "volume" / "income" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "volume" / "income" / name).write_bytes(content)
    size, modes = {"storage": "1Gi"}, ["ReadOnlyMany"]
    world.apply(
        node,
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "packages"},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "storageClassName": "",
                "hostPath": {"path": str(tmp_path / "volume"), "type": "Directory"},
                "claimRef": {"namespace": "models", "name": "packages"},
            },
        },
    )
    world.apply(
        node,
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "packages", "namespace": "models"},
            "spec": {
                "accessModes": modes,
                "storageClassName": "",
                "volumeName": "packages",
                "resources": {"requests": size},
            },
        },
    )
    yield "packages"
    node.kubectl("--namespace=models", "delete", "pvc", "packages", "--wait=false")
    node.kubectl("delete", "pv", "packages", "--wait=false")


@pytest.fixture
def registry(node: Cluster, package, tmp_path: Path) -> Iterator[str]:
    """Return the host of a registry with the package in `income`; the ConfigMap `authority` has who
    signed its certificate."""
    holding = published.Published()
    published.push(
        holding, Path(package.path), repository="income", tag=package.digest.removeprefix("sha256:")
    )
    for path, content in holding.files.items():
        place = tmp_path / "files" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    authority = certificates.Authority(tmp_path, name="authority")
    certificate = authority.issue("registry", common_name="registry", hosts=(node.address,))
    world.apply(
        node,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "authority", "namespace": "models"},
            "data": {"ca.crt": authority.certificate.read_text()},
        },
    )
    argv = (
        sys.executable,
        "-c",
        REGISTRY,
        str(tmp_path / "files"),
        str(certificate),
        str(certificate.with_suffix(".key")),
        str(REGISTRY_PORT),
    )
    with on_node(node, tmp_path / "log", *argv):
        support.eventually(
            lambda: answers(
                f"https://{node.address}:{REGISTRY_PORT}/v2/", authority=authority.certificate
            ),
            seconds=30,
        )
        yield f"{node.address}:{REGISTRY_PORT}"
    node.kubectl("--namespace=models", "delete", "configmap", "authority")


@pytest.fixture
def deployed(node: Cluster, request) -> Iterator[Any]:
    """Return what applies a deployment of a model; it is deleted afterwards."""
    name = "s-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")

    def deploy(model: dict[str, str], **template: Any) -> str:
        document = world.resource(name, model)
        document["spec"]["podTemplate"]["spec"] |= template
        world.apply(node, document)
        return name

    yield deploy
    node.kubectl("--namespace=models", "delete", "md", name, "--ignore-not-found")


def files(folder: str | Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in Path(folder).rglob("*")
        if file.is_file()
    }


def from_bucket(endpoint: str) -> list[dict[str, Any]]:
    """Return the init step's changes: the keys from the Secret, and the address of what only speaks
    S3."""
    secret = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret"}
    keys = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "bucket", "key": key}}}
        for name, key in secret.items()
    ]
    return [{"name": "fetch", "env": [*keys, {"name": "AWS_ENDPOINT_URL", "value": endpoint}]}]


def check_served(cluster: Cluster, name: str, package: Any) -> None:
    """Return when the deployment stands Stable in `kubectl get md` with the package, and answers
    through the gateway."""
    world.until(cluster, name, world.digest_in_service(dataclasses.asdict(package)), seconds=90)
    row = cluster.kubectl("--namespace=models", "get", "md", name, "--no-headers").stdout.split()
    assert "Stable" in row, row
    url = f"{stack.gateway_url(cluster)}/v2/models/income/infer"
    support.eventually(
        lambda: (
            httpx.post(url, json=support.ONE, headers={"host": f"{name}.test"}).status_code == 200
        ),
        seconds=30,
    )


def test_a_package_is_fetched_from_a_bucket_with_a_secrets_keys(node, bucket, package, deployed):
    name = deployed(
        {"uri": "s3://models/income", "digest": package.digest}, initContainers=from_bucket(bucket)
    )
    check_served(node, name, package)


def test_a_package_is_fetched_from_a_claim(node, claim, package, deployed):
    name = deployed({"uri": f"pvc://{claim}/income", "digest": package.digest})
    check_served(node, name, package)


def test_a_package_is_fetched_from_a_registry_with_its_own_authority(
    node, registry, package, deployed
):
    fetch = {
        "name": "fetch",
        "env": [{"name": "SSL_CERT_FILE", "value": "/authority/ca.crt"}],
        "volumeMounts": [{"name": "authority", "mountPath": "/authority", "readOnly": True}],
    }
    name = deployed(
        {"uri": f"oci://{registry}/income", "digest": package.digest},
        initContainers=[fetch],
        volumes=[{"name": "authority", "configMap": {"name": "authority"}}],
    )
    check_served(node, name, package)


def test_a_digest_that_is_another_s_is_refused_with_its_sentence_in_the_reason(
    node, bucket, package, deployed
):
    wanted = f"sha256:{'0' * 64}"
    name = deployed(
        {"uri": "s3://models/income", "digest": wanted}, initContainers=from_bucket(bucket)
    )
    found = world.until(
        node, name, lambda now: "holds the package" in (now.get("reason") or ""), seconds=90
    )
    assert (
        f"s3://models/income holds the package {package.digest}: wanted {wanted}" in found["reason"]
    )
    assert found["phase"] != "Stable"
    assert (
        json.loads(node.kubectl("--namespace=models", "get", "md", name, "--output=json").stdout)[
            "status"
        ].get("stable")
        is None
    )
