"""What a connection shows of its caller: uvicorn keeps the certificate and the true address to
itself.

Headers say nothing here but which pod it is: `x-forwarded-client-cert` and `x-forwarded-for` are
anybody's to write.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.requests import Request
from uvicorn.protocols.http import httptools_impl

from fairway import tls
from fairway.monitoring.eventstore import access, spiffe

ReadProof = Callable[[Request], access.Proof | None]
KEY = "peer"  # in a request's state


class Peer(NamedTuple):
    """The other end of a connection."""

    address: str
    certificate: Mapping[str, Any] | None  # as `ssl.getpeercert` has it, of a CA that is believed


class PeerProtocol(httptools_impl.HttpToolsProtocol):
    """uvicorn's own, with the peer in the state of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address, *_ = transport.get_extra_info("peername") or ("",)
        connection = transport.get_extra_info("ssl_object")
        self._peer = Peer(address, connection.getpeercert() if connection else None)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][KEY] = self._peer


def bearer(request: Request) -> str | None:
    """Return the token that the request carries."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Certified:
    """Reads whose certificate it is that a request came with."""

    trust_domain: str

    def __call__(self, request: Request) -> access.Workload:
        peer: Peer = request.scope["state"][KEY]
        return spiffe.workload(
            peer.certificate,
            trust_domain=self.trust_domain,
            pod=request.headers.get(tls.POD_HEADER, ""),
            address=peer.address,
            now=time.time(),
        )
