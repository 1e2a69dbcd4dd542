"""Files over HTTP, with the standard library: streamed, redirected, and with each failure told as
passing or final."""

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from fairway import __version__, errors

TIMEOUT_SECONDS = 30.0  # of silence
# what drips keeps silent never and ends never: a large file may take its time, at a modem's speed
LEAST_BYTES_A_SECOND, STRETCH_SECONDS = 1024, 60.0
CHUNK_BYTES = 1 << 18
PASSING = (408, 425, 429)  # and 5xx
T = TypeVar("T")


class Site:
    """A folder on a web server. `authorization` is the header that goes with each request, but not
    to where it is redirected."""

    def __init__(self, uri: str, *, authorization: str | None = None) -> None:
        self._place, self._authorization = urlsplit(uri), authorization

    def chunks(self, name: str) -> Iterator[bytes]:
        path = f"{self._place.path.rstrip('/')}/{quote(name)}"
        headers = {"authorization": self._authorization} if self._authorization else {}
        url = urlunsplit(self._place._replace(path=path, fragment=""))
        yield from body(answered(url, headers=headers), url=url)


class LoginWanted(errors.AddressError):
    """The address wants credentials; `challenge` is its WWW-Authenticate."""

    def __init__(self, message: str, *, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge


def body(
    response: http.client.HTTPResponse, *, url: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Return what the address answers; raises Unavailable where it breaks off or drips."""
    seen, slow = 0, _Slowness()
    with response:
        try:
            declared = response.headers.get("content-length", "")
            begun = clock()
            while chunk := _piece(response, url=url):
                seen += len(chunk)
                if slow.after(len(chunk), seconds=clock() - begun):
                    raise errors.Unavailable(
                        f"{shown(url)} was left after {seen} bytes: it sent less than {LEAST_BYTES_A_SECOND} bytes a "
                        f"second for {STRETCH_SECONDS:g} seconds"
                    )
                yield chunk
                begun = clock()  # whoever takes the bytes may take their time
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(
                f"{shown(url)} broke off after {seen} bytes: {error or type(error).__name__}"
            ) from error
    if declared.isdigit() and seen < int(declared):
        raise errors.Unavailable(f"{shown(url)} ended after {seen} of {declared} bytes")


def _piece(response: http.client.HTTPResponse, *, url: str) -> bytes:
    """Return the next bytes. The size of a chunk is a line of its own, which may drip too."""
    if not response.chunked:
        return response.read1(CHUNK_BYTES)
    try:
        return within(lambda: response.read1(CHUNK_BYTES), seconds=STRETCH_SECONDS, what=shown(url))
    except BaseException:
        # Ctrl-C too: whoever closes the answer waits for the reader, which has its lock
        with (
            contextlib.suppress(OSError, ValueError, AttributeError),  # it ended meanwhile
            socket.socket(fileno=os.dup(response.fileno())) as held,
        ):
            held.shutdown(socket.SHUT_RDWR)
        raise


def within(act: Callable[[], T], *, seconds: float, what: str) -> T:
    """Return what it gives, and wait no longer for it than so many seconds: the timeout of a socket begins
    anew at each byte, so that a server which drips them holds its caller for ever."""
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(act())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)  # one that hangs ends with the process
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise errors.Unavailable(f"{what} does not answer ({seconds:g} s)")
    return given[0]


def paced(chunks: Iterator[bytes], *, size: int, what: str) -> Iterator[bytes]:
    """Return the chunks of at most `size` bytes, each of which comes in its time."""
    while chunk := within(lambda: next(chunks, b""), seconds=patience(size), what=what):
        yield chunk


def patience(size: int) -> float:
    """Return how many seconds so many bytes may take."""
    return STRETCH_SECONDS + size / LEAST_BYTES_A_SECOND


class _Slowness:
    """Whether what arrives is less than the least rate, over stretches of time that was waited."""

    def __init__(self) -> None:
        self._bytes, self._seconds = 0, 0.0

    def after(self, size: int, *, seconds: float) -> bool:
        self._bytes, self._seconds = self._bytes + size, self._seconds + seconds
        if self._seconds < STRETCH_SECONDS:
            return False
        slow = self._bytes < LEAST_BYTES_A_SECOND * self._seconds
        self._bytes, self._seconds = 0, 0.0
        return slow


def answered(
    url: str, *, headers: Mapping[str, str], method: str = "GET", body: bytes | Path = b""
) -> http.client.HTTPResponse:
    """Return the answer where it is 2xx; raises Unavailable where another attempt may succeed,
    AddressError where none will."""
    with contextlib.ExitStack() as held:
        data: Any = held.enter_context(body.open("rb")) if isinstance(body, Path) else body or None
        if method in ("POST", "PUT"):
            size = body.stat().st_size if isinstance(body, Path) else len(body)
            headers = {"content-length": str(size), **headers}
        try:
            return _open(url, headers=headers, method=method, data=data)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refused(error, url, method=method) from error


def _open(
    url: str, *, headers: Mapping[str, str], method: str, data: Any
) -> http.client.HTTPResponse:
    ours = {"user-agent": f"fairway/{__version__}", "accept-encoding": "identity"}
    request = urllib.request.Request(url, data, ours, method=method)  # noqa: S310 - addresses are http(s)
    for key, value in headers.items():
        # a registry redirects to a store that must not see its credentials
        request.add_unredirected_header(key, value)
    try:
        response: http.client.HTTPResponse = within(
            lambda: urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS),  # noqa: S310
            seconds=patience(int(headers.get("content-length", 0))),
            what=shown(url),
        )
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise errors.AddressError(
                f"{shown(url)} has a certificate that is not trusted ({error.reason.verify_message}): SSL_CERT_FILE "
                f"names another authority"
            ) from error
        raise errors.Unavailable(f"{shown(url)} does not answer: {error.reason}") from error
    except http.client.InvalidURL as error:
        raise errors.UsageError(f"{shown(url)} is no address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise errors.Unavailable(
            f"{shown(url)} does not answer: {error or type(error).__name__}"
        ) from error
    return response


def shown(url: str) -> str:
    """Return the address without what may be secret in it."""
    place = urlsplit(url)
    return urlunsplit(place._replace(netloc=place.netloc.rpartition("@")[2], query=""))


def _refused(error: urllib.error.HTTPError, url: str, *, method: str) -> errors.FairwayError:
    if error.code in PASSING or error.code >= 500:
        return errors.Unavailable(f"{shown(url)} answered {error.code}")
    if error.code == 404:
        return errors.MissingFile(f"{shown(url)} answered 404")
    if error.code == 401:
        return LoginWanted(
            f"{shown(url)} answered 401: wanted credentials",
            challenge=error.headers.get("www-authenticate", ""),
        )
    verb = "read it" if method in ("GET", "HEAD") else "write there"
    advice = {403: f"these credentials may not {verb}"}
    return errors.AddressError(
        f"{shown(url)} answered {error.code}: {advice.get(error.code, 'wanted 200')}"
    )
