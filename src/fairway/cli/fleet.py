"""The verb of the monitor's container."""

import sys
from pathlib import Path

import click

from fairway import errors


@click.command("run")
@click.option(
    "--collector", required=True, metavar="URL", help="Where requests and labels are read."
)
@click.option(
    "--collector-token",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The token that the collector knows the monitor by; read at each question.",
)
@click.option(
    "--collector-certificates",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Instead of the token: tls.crt, tls.key and ca.crt; for https, read anew when they are replaced.",
)
@click.option(
    "--shard",
    default="0/1",
    show_default=True,
    metavar="NUMBER/OF",
    help="The part of the deployments that it watches, from 0/1 for all of them.",
)
@click.option(
    "--engine",
    default="native",
    show_default=True,
    help="Whose tests say what moved: native, or alibi where its licence is had and it is installed.",
)
@click.option("--interval", default="15s", show_default=True, help="Between two looks.")
@click.option(
    "--monitor-namespace",
    default="fairway-system",
    show_default=True,
    help="Where the monitor runs; its Lease lies there.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="A namespace to look after; all of them where none is named.",
)
@click.option(
    "--alerts-token",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The token that Alertmanager shows at /v1/alerts; without one no alert is taken.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where /healthz, /readyz, /metrics and /v1/alerts listen.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8082, show_default=True)
@click.option("--context", default=None, help="Outside a cluster: the kubeconfig's context.")
def run(
    collector: str,
    collector_token: Path | None,
    collector_certificates: Path | None,
    shard: str,
    engine: str,
    interval: str,
    monitor_namespace: str,
    namespaces: tuple[str, ...],
    alerts_token: Path | None,
    host: str,
    port: int,
    context: str | None,
) -> None:
    """Watch the ModelDeployments of a cluster (this is what the monitor's container runs)."""
    from fairway import plugins
    from fairway.cli import operator
    from fairway.monitoring import exporter, listener
    from fairway.monitoring.eventstore import wire
    from fairway.operator.fleet import process, shards
    from fairway.platforms.kubernetes import api

    operator.log_to_stderr()
    known = plugins.found("detectors")
    if engine not in known:
        raise errors.UsageError(f"--engine {engine!r}: wanted {' or '.join(known)}")
    settings = process.MonitorSettings(
        shard=shards.parse(shard),
        engine=engine,
        interval_seconds=operator.seconds(interval),
        namespace=monitor_namespace,
        namespaces=namespaces,
    )
    line = wire.Wire(
        url=collector,
        timeout_seconds=process.ANSWER_SECONDS,
        token=collector_token,
        certificates=operator.certificates(
            collector_certificates, token=collector_token, collector=collector
        ),
    )
    server = api.connect(context)
    series = exporter.Exporter()
    address = listener.Listener(host=host, port=port, registry=series.registry, token=alerts_token)
    print(f"monitor answers on http://{host}:{address.port}", file=sys.stderr, flush=True)
    if not process.run(server, line, settings, address=address, series=series):
        raise errors.PlatformError(
            "leadership was lost: another monitor watches now; this one ends"
        )
