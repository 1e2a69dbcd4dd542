"""What a cluster has besides fairway: Envoy Gateway from its own chart, a Gateway, and Prometheus;
for some tests the metrics of pods, and monitors."""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.cluster import binaries, images, places
from tests.cluster.cluster import Cluster, load

OBJECTS = Path(__file__).parent / "stack"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
ENVOY_GATEWAY, IMAGE, PULL = (
    "github.com/envoyproxy/gateway",
    "fairway.test/envoy-gateway:1",
    "IfNotPresent",
)


def install(cluster: Cluster) -> None:
    """Install what is missing; a second call changes nothing. Another's cluster has it (`make
    kind-up`): our images are nowhere there."""
    if cluster.folder is not None:
        _envoy_gateway(cluster)
        cluster.kubectl("apply", "--server-side", "--filename", str(OBJECTS))
    cluster.kubectl(
        "--namespace=monitoring", "rollout", "status", "deployment/prometheus", "--timeout=120s"
    )
    cluster.kubectl(
        "--namespace=models",
        "wait",
        "gateway/models",
        "--for=condition=Programmed",
        "--timeout=120s",
    )


def install_scaling(cluster: Cluster) -> None:
    """Install metrics-server, and waits until it serves: whoever runs another cluster has it, or
    not."""
    if cluster.folder is not None:
        load(images.watching())
        cluster.kubectl("apply", "--server-side", "--filename", str(OBJECTS / "scaling"))
    cluster.kubectl(
        "wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", "--timeout=60s"
    )


def established(cluster: Cluster, *which: str) -> None:
    """Wait until the definitions are served. Just made they have no conditions yet, which kubectl takes for a
    mistake."""
    deadline = time.monotonic() + 60
    while True:
        asked = ("wait", "--for=condition=Established", "--timeout=60s", *which)
        done = cluster.kubectl(*asked, check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)


def install_monitors(cluster: Cluster) -> None:
    """Install prometheus-operator and a Prometheus that follows every monitor and every rule."""
    load(images.watching())
    definitions = module(PROMETHEUS_OPERATOR, of="watching") / "example" / "prometheus-operator-crd"
    cluster.kubectl("apply", "--server-side", "--filename", str(definitions))
    established(cluster, "--filename", str(definitions))
    cluster.kubectl("apply", "--server-side", "--filename", str(OBJECTS / "monitors"))
    cluster.kubectl(
        "--namespace=monitoring",
        "rollout",
        "status",
        "deployment/prometheus-operator",
        "--timeout=60s",
    )
    cluster.kubectl(
        "--namespace=monitoring",
        "wait",
        "prometheus/monitored",
        "--for=condition=Available",
        "--timeout=60s",
    )


def remove_monitors(cluster: Cluster) -> None:
    """Take both away but for the definitions: what was made of those is deleted with what it
    belongs to."""
    cluster.kubectl("delete", "--ignore-not-found", "--filename", str(OBJECTS / "monitors"))


def install_fairway(cluster: Cluster, *settings: str) -> None:
    """Install the chart, or upgrades what is there to the checkout's, with the images of this very
    source: another's cluster must have them.

    `settings` are values such as `rbac.namespaced=true`.
    """
    if cluster.folder is not None:
        load(images.files())
    else:
        _need_images(cluster)
    cluster.helm(
        "upgrade",
        "fairway",
        str(places.ROOT / "helm" / "fairway"),
        "--install",
        "--namespace=fairway-system",
        "--create-namespace",
        "--values",
        str(Path(__file__).parent / "values.yaml"),
        "--set",
        ",".join((images.chart_values(), *settings)),
        "--wait",
        "--timeout=3m",
    )


def _need_images(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output=json").stdout)["items"]
    there = [
        name
        for node in nodes
        for image in node["status"].get("images", ())
        for name in image.get("names", ())
    ]
    wanted = [f"{image}:{images.tag()}" for image in images.OWN]
    missing = [image for image in wanted if not any(name.endswith(image) for name in there)]
    assert not missing, (
        f"no node has {' or '.join(missing)}: `make kind-up` builds what the source says now, and loads it"
    )


def gateway_url(cluster: Cluster) -> str:
    """Return where the Gateway `models` listens, as this machine reaches it."""
    port = _node_port(
        cluster, "envoy-gateway-system", "gateway.envoyproxy.io/owning-gateway-name=models"
    )
    return f"http://{cluster.address}:{port}"


def prometheus_url(cluster: Cluster, *, app: str = "prometheus") -> str:
    """Return where the Prometheus listens that scrapes the gateway, or, by the app `monitored`, the
    one that follows monitors."""
    return f"http://{cluster.address}:{_node_port(cluster, 'monitoring', f'app={app}')}"


def _node_port(cluster: Cluster, namespace: str, selector: str) -> int:
    found = json.loads(
        cluster.kubectl(
            "--namespace", namespace, "get", "services", "--selector", selector, "--output=json"
        ).stdout
    )["items"]
    return int(found[0]["spec"]["ports"][0]["nodePort"])


def _envoy_gateway(cluster: Cluster) -> None:
    if (
        "deployed"
        in cluster.helm(
            "status", "eg", "--namespace=envoy-gateway-system", "--output=json", check=False
        ).stdout
    ):
        return
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / "gateway-helm"
        shutil.copytree(
            module(ENVOY_GATEWAY, of="envoy-gateway") / "charts" / "gateway-helm", chart
        )
        for file in [chart, *chart.rglob("*")]:
            file.chmod(file.stat().st_mode | 0o200)  # Go's module cache is read-only
        values = (chart / "values.tmpl.yaml").read_text()
        (chart / "values.yaml").write_text(
            values.replace("${GatewayImage}", IMAGE).replace("${GatewayImagePullPolicy}", PULL)
        )
        cluster.helm(
            "install",
            "eg",
            str(chart),
            "--namespace=envoy-gateway-system",
            "--create-namespace",
            "--wait",
            "--timeout=3m",
        )


def module(name: str, *, of: str) -> Path:
    """Return the folder of a Go module that the binaries of the folder `of` are built from: charts
    and manifests lie in it."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", name],
        cwd=binaries.MODULES / of,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(done.stdout)["Dir"])


if __name__ == "__main__":
    began = time.monotonic()
    ours = Cluster(places.KUBECONFIG, places.RUN)
    install(ours)
    print(
        f"gateway {gateway_url(ours)}  prometheus {prometheus_url(ours)}  ({time.monotonic() - began:.0f} s)"
    )
