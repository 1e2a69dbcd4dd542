"""kopf's way to the API server: what it reads is cut to a depth that its reader survives."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kopf

from fairway.platforms.kubernetes import shallow


async def login(**known: Any) -> kopf.AiohttpSession | None:
    """Return the session of the pod's service account, else of the kubeconfig.

    Read anew whenever the token has expired.
    """
    found = kopf.login_with_service_account(**known) or kopf.login_via_client(**known)
    if found is None:
        return None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        response_class=Response,
    )
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=found.server,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=found.expiration,
    )


class Response(aiohttp.ClientResponse):
    """An answer of the API server: one document, or, of a watch, one on each line."""

    async def start(self, connection: Any) -> "Response":
        await super().start(connection)
        self.content: Any = Lines(self.content)
        return self

    async def json(self, **_: Any) -> Any:
        return json.loads(shallow.cut(await self.read()))


class Lines:
    """A stream of which each line is cut; all else is the stream's own."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._stream.iter_chunked(size):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                yield b"".join(shallow.cut(line) + b"\n" for line in lines)
        if rest:
            yield shallow.cut(rest)
