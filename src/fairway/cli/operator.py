"""The verb of the operator's container."""

import logging
import sys
from typing import Any

import click


@click.command()
@click.option("--server-image", required=True, help="Image of a model server, for resources that name none.")
@click.option("--seldon-image", default="", help="The same for resources of runtime seldon.")
@click.option("--collector", required=True, metavar="URL", help="Where servers send events, and where pairs and labels are read.")
@click.option("--prometheus", required=True, metavar="URL", help="The Prometheus that scrapes the gateways.")
@click.option("--operator-namespace", default="fairway-system", show_default=True, help="Where the operator runs; the Lease lies there.")
@click.option("--namespace", "namespaces", multiple=True, help="A namespace to look after; all of them where none is named.")
@click.option("--interval", default="2s", show_default=True, help="Between two looks at a rollout in progress; as often as Prometheus scrapes.")
@click.option("--hook-host", "hook_hosts", multiple=True, metavar="PATTERN",
              help="A host that hooks may name, such as `*.example.com`; Services of their own namespace always may be named.")
@click.option("--hook-network", "hook_networks", multiple=True, metavar="CIDR",
              help="A private network that such hosts may lie in, such as `10.20.0.0/16`; public addresses always may be called.")
@click.option("--seldon-from", multiple=True, metavar="NAMESPACE",
              help="A namespace whose pods reach servers of runtime seldon; envoy-gateway-system, istio-system and monitoring where none is named.")
@click.option("--counts", "templates", default="{}", metavar="JSON",
              help="Queries that ModelDeployments may name in spec.counts, by name: an object with requests, errors and within.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where /healthz, /readyz and /metrics listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8081, show_default=True)
@click.option("--context", default=None, help="Outside a cluster: the kubeconfig's context.")
def operator(
    server_image: str, seldon_image: str, collector: str, prometheus: str, operator_namespace: str, namespaces: tuple[str, ...], interval: str,
    hook_hosts: tuple[str, ...], hook_networks: tuple[str, ...], seldon_from: tuple[str, ...], templates: str,
    host: str, port: int, context: str | None,
) -> None:
    """Look after the ModelDeployments of a cluster (this is what the operator's container runs)."""
    from fairway import errors
    from fairway.config import schema
    from fairway.monitoring import remote
    from fairway.operator import endpoint, loop, reconcile
    from fairway.platforms.kubernetes import api, counts, hosts, workloads
    from fairway.platforms.kubernetes import prometheus as prometheuses

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        seconds = schema.parse_duration(interval).total_seconds()
    except ValueError as error:
        raise errors.UsageError(f"--interval {interval!r}: {error}") from error
    for network in hook_networks:
        hosts.network(network)
    server = api.connect(context)
    settings = reconcile.Settings(
        server_image=server_image, seldon_image=seldon_image, interval_seconds=seconds, hook_hosts=hook_hosts, hook_networks=hook_networks,
        templates=counts.templates(templates),
        cluster=workloads.Settings(collector=collector, namespace=operator_namespace, prometheus=prometheus, envoy_gateway=False,
                                   seldon_from=seldon_from or workloads.SELDON_FROM))

    def evidence(namespace: str) -> Any:
        return remote.RemoteEvidence(collector, namespace=namespace)

    reconciler = reconcile.Reconciler(server, settings, evidence=evidence, prometheus=prometheuses.Prometheus(prometheus))
    health = endpoint.Endpoint(host=host, port=port, rollouts=reconciler.rollouts)
    if not loop.run(server, reconciler, namespace=operator_namespace, namespaces=namespaces, health=health):
        raise errors.PlatformError("leadership was lost: another operator acts now; this one ends")
