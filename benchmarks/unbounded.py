"""The server without admission and without bounds on uploads: the other side of the overload
benchmark. `benchmarks.unbounded:Service`."""

import math

from fairway.serving import admission, app, uploads
from fairway.serving.service import Service

__all__ = ["Service"]

MOST = 256  # requests in work, those whose body is still coming included


class Application(app.Application):
    """Counts a request as in work from its headers on."""

    in_work = 0

    async def _infer(self, scope: app.Scope, receive: app.Receive, send: app.Send) -> None:
        self.in_work += 1
        try:
            if self.in_work > MOST:
                await self._send(send, 503, b'{"error":"too many requests are in work"}', ())
            else:
                await super()._infer(scope, receive, send)
        finally:
            self.in_work -= 1


admission.longest_wait = lambda timeout, *, shadow=False: math.inf  # type: ignore[assignment]
uploads.MOST = 1 << 20
app.Application = Application  # type: ignore[misc]
