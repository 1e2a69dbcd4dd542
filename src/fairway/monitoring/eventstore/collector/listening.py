"""The collector as a process: its flags, the address that it listens on, and its end."""

import argparse
import gc
import signal
import socket
import ssl
import sys
from datetime import timedelta
from pathlib import Path
from types import FrameType

import uvicorn

from fairway import errors
from fairway.config import sections
from fairway.monitoring.eventstore import access
from fairway.monitoring.eventstore.collector import collecting, peers, refusals, upkeep


def serve(
    *,
    place: str,
    gate: access.Access,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    proof: peers.ReadProof = peers.bearer,
    keep: timedelta | None = None,
    max_bytes: int = upkeep.MAX_BYTES,
    reserve: bool = False,
    packages: bool = False,
) -> None:
    """Answer until SIGTERM or SIGINT, finishes what was begun, and returns; with `tls` over https
    alone."""
    collector = collecting.Collector(
        place,
        gate=gate,
        proof=proof,
        keep=keep,
        max_bytes=max_bytes,
        reserve=reserve,
        packages=packages,
        loopback=host in refusals.LOOPBACK,
    )
    try:
        listener = socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise errors.UsageError(
            f"cannot listen on {host}:{port} ({error}): name another --port, or 0 for a free one"
        ) from error
    # uvicorn sends itself the signal again when it has finished; ending then is what we want, dying
    # of it is not.
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGINT, _ignore)
    where = f"{'https' if tls else 'http'}://{host}:{listener.getsockname()[1]}"
    spare_collection()
    print(f"collector listens on {where}, stores to {collector.name}", flush=True)
    settings = uvicorn.Config(
        collector.app,
        loop="uvloop",
        http=peers.PeerProtocol,
        ssl_context_factory=(lambda *_: tls) if tls else None,
        proxy_headers=False,  # an address is a proof, and no header's
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(settings).run(sockets=[listener])


def spare_collection() -> None:
    """Look for unreachable cycles seldom: a batch makes thousands of containers, none of them in a
    cycle, and looking at them takes longer than reading their JSON."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def local_gate(auth: str, *, token_file: Path | None) -> access.Access:
    """Return the access that needs no API server; the token file is made where it is missing."""
    if auth == "none":
        return access.Open()
    if token_file is None:
        raise errors.UsageError(
            "--auth token-file needs --token-file FILE (it is made where it is missing, readable by its owner alone): "
            "whoever reaches the collector would be believed otherwise; --auth none says that you want that"
        )
    try:
        return access.OwnersToken(access.make_token_file(token_file))
    except OSError as error:
        raise errors.UsageError(
            f"--token-file {token_file} cannot be made ({error.strerror}): name one that this process may write"
        ) from error


def _ignore(_: int, __: FrameType | None) -> None:
    pass


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fairway.monitoring.eventstore.collector",
        description="The collector: takes events and labels, and answers what a rollout is judged by.",
    )
    parser.add_argument(
        "--store",
        required=True,
        help="the event store: a file, or postgresql://user:password@host/database",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, required=True, help="the port to listen on, 0 for a free one"
    )
    parser.add_argument(
        "--token-file", type=Path, help="the token that callers must have; made where it is missing"
    )
    parser.add_argument(
        "--auth",
        choices=("token-file", "none"),
        default="token-file",
        help="how callers are told apart (default: %(default)s)",
    )
    parser.add_argument(
        "--retention",
        type=sections.parse_duration,
        help="let events go that are older, such as 90d (default: none)",
    )
    parser.add_argument(
        "--max-bytes",
        type=upkeep.parse_bytes,
        default=upkeep.MAX_BYTES,
        help="let the oldest events go beyond it, such as 8Gi (the default)",
    )
    parser.add_argument(
        "--reserve",
        action="store_true",
        help="hold room on the volume, up to 128 MiB, to remove events with when it is full",
    )
    parser.add_argument(
        "--packages",
        action="store_true",
        help="ask servers to show what a monitor elsewhere needs of their packages",
    )
    arguments = parser.parse_args(argv)
    try:
        gate = local_gate(arguments.auth, token_file=arguments.token_file)
        serve(
            place=arguments.store,
            gate=gate,
            host=arguments.host,
            port=arguments.port,
            keep=arguments.retention,
            max_bytes=arguments.max_bytes,
            reserve=arguments.reserve,
            packages=arguments.packages,
        )
    except errors.FairwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
