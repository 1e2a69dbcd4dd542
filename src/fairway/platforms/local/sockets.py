"""Free ports on the loopback address."""

import secrets
import socket
from pathlib import Path

LOWEST, TRIES = 15_000, 200
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# never twice from one process, so that two who ask before either binds differ
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listens on now.

    Whoever gets it should bind soon, and ask again where it was taken meanwhile.

    It lies below the ports that the kernel lends to outgoing connections. One of those could be
    lent to a client while its server is restarting, and the server could not bind; worse, who asks
    such a port often while nobody listens connects to itself.
    """
    outgoing = _outgoing()
    for _ in range(TRIES if outgoing > LOWEST + TRIES else 0):
        port = LOWEST + secrets.randbelow(outgoing - LOWEST)
        if port not in _given and not taken(port):
            _given.add(port)
            return port
    with socket.socket() as probe:  # a machine that lends nearly all ports
        probe.bind(("127.0.0.1", 0))
        last: int = probe.getsockname()[1]
        return last


def taken(port: int) -> bool:
    """Say whether something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _outgoing() -> int:
    """Return the first port that the kernel lends to outgoing connections."""
    try:
        return int(RANGE.read_text().split()[0])
    except OSError:
        return 32_768  # Linux's own; macOS begins at 49152
