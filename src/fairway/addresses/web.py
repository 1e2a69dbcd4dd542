"""Files over HTTP, with the standard library: streamed, redirected, and with each failure told as
passing or final."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urlsplit, urlunsplit

from fairway import __version__, errors

TIMEOUT_SECONDS = 30.0  # of silence
CHUNK_BYTES = 1 << 20
PASSING = (408, 425, 429)  # and 5xx


class Site:
    """A folder on a web server. `authorization` is the header that goes with each request, but not
    to where it is redirected."""

    def __init__(self, uri: str, *, authorization: str | None = None) -> None:
        self._place, self._authorization = urlsplit(uri), authorization

    def chunks(self, name: str) -> Iterator[bytes]:
        path = f"{self._place.path.rstrip('/')}/{quote(name)}"
        headers = {"authorization": self._authorization} if self._authorization else {}
        yield from stream(urlunsplit(self._place._replace(path=path, fragment="")), headers=headers)


def stream(url: str, *, headers: dict[str, str]) -> Iterator[bytes]:
    """Return the body of what the address answers; raises Unavailable where another attempt may
    succeed, AddressError where none will."""
    seen = 0
    with answered(url, headers=headers) as response:
        try:
            declared = response.headers.get("content-length", "")
            while chunk := response.read(CHUNK_BYTES):
                seen += len(chunk)
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(
                f"{shown(url)} broke off after {seen} bytes: {error or type(error).__name__}"
            ) from error
    if declared.isdigit() and seen < int(declared):
        raise errors.Unavailable(f"{shown(url)} ended after {seen} of {declared} bytes")


def answered(url: str, *, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Return the answer to a GET where it is 2xx."""
    try:
        return _open(url, headers=headers)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(error, url) from error


def challenge(url: str, *, accept: str) -> str:
    """Return what the address answers to one without credentials: its WWW-Authenticate, empty where
    it wants none."""
    try:
        _open(url, headers={"accept": accept}, method="HEAD").close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401:
            return error.headers.get("www-authenticate", "")
        raise _refused(error, url) from error
    return ""


def _open(url: str, *, headers: dict[str, str], method: str = "GET") -> http.client.HTTPResponse:
    ours = {"user-agent": f"fairway/{__version__}", "accept-encoding": "identity"}
    request = urllib.request.Request(url, headers=ours, method=method)  # noqa: S310 - addresses are http(s)
    for key, value in headers.items():
        # a registry redirects to a store that must not see its credentials
        request.add_unredirected_header(key, value)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310
            request, timeout=TIMEOUT_SECONDS
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


def _refused(error: urllib.error.HTTPError, url: str) -> errors.FairwayError:
    if error.code in PASSING or error.code >= 500:
        return errors.Unavailable(f"{shown(url)} answered {error.code}")
    if error.code == 404:
        return errors.MissingFile(f"{shown(url)} answered 404")
    advice = {401: "wanted credentials", 403: "these credentials may not read it"}
    return errors.AddressError(
        f"{shown(url)} answered {error.code}: {advice.get(error.code, 'wanted 200')}"
    )
