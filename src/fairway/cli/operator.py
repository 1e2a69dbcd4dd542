"""The verb of the operator's container."""

import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors

if TYPE_CHECKING:
    from fairway import tls

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*=.+")


@click.command()
@click.option(
    "--server-image", required=True, help="Image of a model server, for resources that name none."
)
@click.option("--seldon-image", default="", help="The same for resources of runtime seldon.")
@click.option(
    "--collector",
    required=True,
    metavar="URL",
    help="Where servers send events, and where pairs and labels are read.",
)
@click.option(
    "--collector-token",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The token that the collector knows the operator by; read at each question, for it is replaced while it is "
    "used.",
)
@click.option(
    "--collector-certificates",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Instead of the token: tls.crt and tls.key, by which the collector knows the operator, and ca.crt, by which "
    "the operator knows the collector; for https, read anew when they are replaced.",
)
@click.option(
    "--server-certificates",
    default=None,
    metavar="JSON",
    help="Instead of their tokens: the volume with the same three files for servers, as in a pod's volumes, such as "
    '{"secret": {"secretName": "fairway-server-tls"}}; it must be in each namespace.',
)
@click.option(
    "--prometheus", required=True, metavar="URL", help="The Prometheus that scrapes the gateways."
)
@click.option(
    "--gateway-label",
    "gateway_labels",
    required=True,
    multiple=True,
    metavar="NAME=VALUE",
    help="A label that only Prometheus' scrape of the gateway sets, such as namespace=envoy-gateway-system: its "
    "counters are asked by it.",
)
@click.option(
    "--operator-namespace",
    default="fairway-system",
    show_default=True,
    help="Where the operator runs; the Lease lies there.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="A namespace to look after; all of them where none is named.",
)
@click.option(
    "--interval",
    default="2s",
    show_default=True,
    help="Between two looks at a rollout in progress; as often as Prometheus scrapes.",
)
@click.option(
    "--hook-host",
    "hook_hosts",
    multiple=True,
    metavar="PATTERN",
    help="A host that hooks may name, such as `*.example.com`; Services of their own namespace always may be named.",
)
@click.option(
    "--hook-network",
    "hook_networks",
    multiple=True,
    metavar="CIDR",
    help="A private network that such hosts may lie in, such as `10.20.0.0/16`; public addresses always may be called.",
)
@click.option(
    "--seldon-from",
    multiple=True,
    metavar="NAMESPACE",
    help="A namespace whose pods reach servers of runtime seldon; envoy-gateway-system, istio-system and monitoring "
    "where none is named.",
)
@click.option(
    "--counts",
    "templates",
    default="{}",
    metavar="JSON",
    help="Queries that ModelDeployments may name in spec.counts, by name: an object with requests, errors and within.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where /healthz, /readyz and /metrics listen.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8081, show_default=True)
@click.option("--context", default=None, help="Outside a cluster: the kubeconfig's context.")
def operator(
    server_image: str,
    seldon_image: str,
    collector: str,
    collector_token: Path | None,
    collector_certificates: Path | None,
    server_certificates: str | None,
    prometheus: str,
    gateway_labels: tuple[str, ...],
    operator_namespace: str,
    namespaces: tuple[str, ...],
    interval: str,
    hook_hosts: tuple[str, ...],
    hook_networks: tuple[str, ...],
    seldon_from: tuple[str, ...],
    templates: str,
    host: str,
    port: int,
    context: str | None,
) -> None:
    """Look after the ModelDeployments of a cluster (this is what the operator's container runs)."""
    from fairway.monitoring.eventstore import remote
    from fairway.operator import endpoint, loop, reconcile, target
    from fairway.platforms.kubernetes import api, counts, hosts
    from fairway.platforms.kubernetes import prometheus as prometheuses
    from fairway.platforms.kubernetes.objects import names

    log_to_stderr()
    between = seconds(interval)
    for network in hook_networks:
        hosts.network(network)
    shown = certificates(collector_certificates, token=collector_token, collector=collector)
    servers_certificates = _volume(server_certificates, collector=collector)
    server = api.connect(context)
    settings = target.OperatorSettings(
        server_image=server_image,
        seldon_image=seldon_image,
        interval_seconds=between,
        hook_hosts=hook_hosts,
        hook_networks=hook_networks,
        templates=counts.templates(templates),
        cluster=names.ClusterSettings(
            collector=collector,
            certificates=servers_certificates,
            namespace=operator_namespace,
            prometheus=prometheus,
            envoy_gateway=False,
            seldon_from=seldon_from or names.SELDON_FROM,
        ),
    )

    def evidence(namespace: str) -> Any:
        return remote.RemoteEvidence(
            collector, namespace=namespace, token=collector_token, certificates=shown
        )

    asked = prometheuses.Prometheus(prometheus, gateway=_labels(gateway_labels))
    reconciler = reconcile.Reconciler(server, settings, evidence=evidence, prometheus=asked)
    health = endpoint.Endpoint(host=host, port=port, rollouts=reconciler.rollouts)
    if not loop.run(
        server, reconciler, namespace=operator_namespace, namespaces=namespaces, health=health
    ):
        raise errors.PlatformError("leadership was lost: another operator acts now; this one ends")


def log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)


def seconds(interval: str) -> float:
    """Return the time between two looks; raise UsageError for what is no duration."""
    from fairway.config import sections

    try:
        return sections.parse_duration(interval).total_seconds()
    except ValueError as error:
        raise errors.UsageError(f"--interval {interval!r}: {error}") from error


def certificates(
    folder: Path | None, *, token: Path | None, collector: str
) -> "tls.Certificates | None":
    from fairway import tls

    if folder is None:
        return None
    if token is not None:
        raise errors.UsageError(
            "--collector-token with --collector-certificates: wanted one of them"
        )
    _need_https("--collector-certificates", collector=collector)
    return tls.Certificates(folder)


def _volume(text: str | None, *, collector: str) -> dict[str, Any] | None:
    """Return the volume's source; raise UsageError for what is none."""
    if text is None:
        return None
    _need_https("--server-certificates", collector=collector)
    try:
        source = json.loads(text)
    except json.JSONDecodeError:
        source = None
    if (
        not isinstance(source, dict)
        or len(source) != 1
        or source.keys() - {"secret", "csi", "projected"}
    ):
        raise errors.UsageError(
            f"--server-certificates {text!r}: wanted one of secret, csi and projected, as in a pod's volumes, such as "
            '{"secret": {"secretName": "fairway-server-tls"}}'
        )
    return source


def _need_https(option: str, *, collector: str) -> None:
    if not collector.startswith("https://"):
        raise errors.UsageError(
            f"--collector {collector} with {option}: wanted https://..., where certificates are shown"
        )


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    """Return the labels by name; raise UsageError for what is none."""
    for text in given:
        if not LABEL.fullmatch(text):
            raise errors.UsageError(
                f"--gateway-label {text!r}: wanted NAME=VALUE, such as namespace=envoy-gateway-system"
            )
    return dict(text.split("=", 1) for text in given)
