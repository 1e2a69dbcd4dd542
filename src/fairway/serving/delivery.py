"""Batches of events on their way to the collector."""

import ssl
from collections.abc import Mapping, Sequence
from http import client
from pathlib import Path
from urllib.parse import urlsplit

from fairway import errors, tls

# a collector that hangs costs the queue 2 s of events, a tenth of its bound at 1,000 a second
HTTP_TIMEOUT_SECONDS = 2.0
LONGEST_ANSWER = 4096  # characters


class Sender:
    """Posts batches over one kept connection. The token, or the folder with a certificate, is
    looked at for each batch: both are replaced while they are used."""

    def __init__(
        self,
        collector: str,
        *,
        token: Path | None = None,
        certificates: Path | None = None,
        pod: str = "",
        timeout_seconds: float = HTTP_TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._collector = collector
        self._path = urlsplit(collector).path.rstrip("/")
        self._connection: client.HTTPConnection | None = None
        self._token, self._pod = token, pod
        self._certificates = tls.Certificates(certificates) if certificates else None
        self._context: ssl.SSLContext | None = None  # of the connection

    def post(self, lines: Sequence[bytes]) -> None:
        """Return when the collector has acknowledged the batch; raises Undelivered otherwise."""
        body = b"[" + b",".join(lines) + b"]"
        status, text, after = self.exchange(
            "POST", "events", body, content="application/cloudevents-batch+json"
        )
        if status // 100 == 2:
            return
        permanent = status in (400, 413, 415, 422)
        raise Undelivered(
            f"{status} {text[:200]}",
            permanent=permanent,
            wait_seconds=float(after) if after.isdigit() else 0.0,
        )

    def exchange(
        self, method: str, question: str, body: bytes | None, *, content: str
    ) -> tuple[int, str, str]:
        """Return status, text and retry-after of the answer; raises Undelivered where none comes."""
        path = f"{self._path}/v1/{question}"
        headers = {"content-type": content}
        try:
            self._renew()
            return self._exchange(method, path, body, {**headers, **self._proof()})
        except errors.Unavailable as error:
            raise Undelivered(str(error)) from error
        except (OSError, client.HTTPException) as error:
            self.close()
            said = self._certificates.reason(error) if self._certificates else str(error)
            raise Undelivered(f"{self._collector}: {type(error).__name__} {said}") from error
        except ValueError as error:
            self.close()
            raise Undelivered(
                f"the token in {self._token} cannot be sent ({type(error).__name__}): wanted one line of ASCII"
            ) from error

    def _renew(self) -> None:
        """Leave a connection that was made with another certificate than is there now."""
        context = self._certificates.context() if self._certificates else None
        if context is not self._context:
            self.close()
            self._context = context

    def _proof(self) -> dict[str, str]:
        """Return the headers that say who this server is."""
        if self._certificates is not None:
            return {tls.POD_HEADER: self._pod} if self._pod else {}
        if self._token is None:
            return {}
        return {"authorization": f"Bearer {self._token.read_text(encoding='ascii').strip()}"}

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, str, str]:
        kept = self._connection is not None
        try:
            return self._attempt(method, path, body, headers)
        except (client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.close()
            if not kept:
                raise
            # the collector had closed an idle connection: that is no failure
            return self._attempt(method, path, body, headers)

    def _attempt(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, str, str]:
        if self._connection is None:
            self._connection = tls.connection(
                self._collector,
                certificates=self._certificates,
                timeout_seconds=self._timeout_seconds,
            )
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        text = response.read().decode("utf-8", "replace")[:LONGEST_ANSWER]
        return response.status, text, response.headers.get("retry-after", "")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Undelivered(Exception):
    """The collector did not take a batch; `permanent` where it never will."""

    def __init__(
        self, sentence: str, *, permanent: bool = False, wait_seconds: float = 0.0
    ) -> None:
        super().__init__(sentence)
        self.permanent = permanent
        self.wait_seconds = wait_seconds
