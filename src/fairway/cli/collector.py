"""The verb `collector`: takes events and labels, and answers what a rollout is judged by."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors

if TYPE_CHECKING:
    import ssl

    from fairway.monitoring.eventstore import access


@click.command()
@click.option(
    "--store",
    required=True,
    envvar="FAIRWAY_STORE",
    show_envvar=True,
    metavar="PATH|URL",
    help="The event store: a file, or postgresql://user:password@host/database; a password is seen by everybody on "
    "the machine unless the "
    "variable holds it.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on, 0 for a free one.",
)
@click.option(
    "--auth",
    type=click.Choice(("token-file", "kubernetes", "none")),
    default="token-file",
    show_default=True,
    help="How callers are told apart: one token in a file, service accounts' tokens that the API server is asked "
    "about, or not at all.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    default=None,
    help="With --auth token-file: the token that callers must have; made where it is missing, readable by its owner "
    "alone.",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Listen with TLS alone, by this certificate (PEM). It, its key and --client-ca may be replaced at any time.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The certificate's key.",
)
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="With --auth kubernetes: callers are told apart by certificates of these CAs instead of tokens. Health and "
    "metrics need none.",
)
@click.option(
    "--trust-domain",
    default="cluster.local",
    show_default=True,
    help="With --client-ca: certificates are for spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT.",
)
@click.option(
    "--retention",
    default=None,
    metavar="DURATION",
    help="Let events go that are older, such as 90d; by default none.",
)
@click.option(
    "--max-bytes",
    default="8Gi",
    show_default=True,
    metavar="SIZE",
    help="Let the oldest events go beyond this size; what a PostgreSQL holds is its administrator's to say.",
)
@click.option(
    "--reserve/--no-reserve",
    default=True,
    show_default=True,
    help="Hold room on the store's volume, up to 128 MiB, to remove events with when it is full.",
)
@click.option(
    "--packages/--no-packages",
    default=False,
    show_default=True,
    help="Ask servers to show what a monitor needs of their packages, up to 32 MiB a file: one beside them has them.",
)
def collector(
    store: str,
    host: str,
    port: int,
    auth: str,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    trust_domain: str,
    retention: str | None,
    max_bytes: str,
    reserve: bool,
    packages: bool,
) -> None:
    """Collect predictions and labels from servers, and answer what a rollout is judged by."""
    from fairway.config import sections
    from fairway.monitoring.eventstore.collector import listening, peers, upkeep

    try:
        keep = sections.parse_duration(retention) if retention else None
    except ValueError as error:
        raise errors.UsageError(f"--retention is {retention!r}: {error}") from error
    try:
        largest = upkeep.parse_bytes(max_bytes)
    except ValueError as error:
        raise errors.UsageError(f"--max-bytes is {error}") from error
    context = _context(tls_cert, tls_key, client_ca=client_ca, auth=auth)
    gate = (
        _reviewed() if auth == "kubernetes" else listening.local_gate(auth, token_file=token_file)
    )
    listening.serve(
        place=store,
        gate=gate,
        host=host,
        port=port,
        tls=context,
        proof=peers.Certified(trust_domain) if client_ca else peers.bearer,
        keep=keep,
        max_bytes=largest,
        reserve=reserve,
        packages=packages,
    )


def _context(
    certificate: Path | None, key: Path | None, *, client_ca: Path | None, auth: str
) -> "ssl.SSLContext | None":
    """Return the context to listen with; None for plain HTTP."""
    from fairway import tls

    if (certificate is None) != (key is None):
        missing, given = (
            ("--tls-cert", "--tls-key") if certificate is None else ("--tls-key", "--tls-cert")
        )
        raise errors.UsageError(
            f"{given} needs {missing} FILE: a certificate and its key are one identity"
        )
    if client_ca and certificate is None:
        raise errors.UsageError(
            "--client-ca needs --tls-cert and --tls-key: callers show certificates over TLS alone"
        )
    if client_ca and auth != "kubernetes":
        raise errors.UsageError(
            f"--client-ca with --auth {auth}: wanted --auth kubernetes, which says what a service account may do"
        )
    return tls.listening(certificate, key, client_ca=client_ca) if certificate and key else None


def _reviewed() -> "access.Access":
    from fairway.monitoring.eventstore import access
    from fairway.platforms.kubernetes import api, tokens

    return access.Reviewed(tokens.Reviews(api.connect()), clock=time.monotonic)
