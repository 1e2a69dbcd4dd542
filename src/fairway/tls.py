"""TLS between fairway's own programs, by certificates in files that are replaced while they are
used.

A caller's files lie in one folder, named as in a Secret of cert-manager's and a volume of
csi-driver-spiffe's: `tls.crt`, `tls.key`, and in `ca.crt` whom it believes.
"""

import http.client
import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fairway import errors

log = logging.getLogger("fairway.tls")

# which pod a caller with a certificate is: a certificate says the service account alone
POD_HEADER = "x-fairway-pod"

Stamp = tuple[tuple[int, int, int], ...]  # inode, time and size of each file


class Renewed:
    """A context that is made of files, and made anew once they are others; any number of threads
    may ask."""

    def __init__(self, *files: Path, make: Callable[[], ssl.SSLContext]) -> None:
        self._files, self._make = files, make
        self._made: tuple[Stamp, ssl.SSLContext] | None = None
        self._refused: Stamp = ()  # of files that were complained about

    def context(self) -> ssl.SSLContext:
        """Return the context of the files; that of the last ones that could be used, where these
        cannot.

        Raises Unavailable where none could be.
        """
        try:
            stamp = _stamp(self._files)
        except OSError as error:
            return self._last(error, stamp=())
        if self._made is None or self._made[0] != stamp:
            try:
                self._made = (stamp, self._make())
            except OSError as error:  # ssl.SSLError is one
                return self._last(error, stamp=stamp)
        return self._made[1]

    def _last(self, error: OSError, *, stamp: Stamp) -> ssl.SSLContext:
        names = ", ".join(map(str, self._files))
        if self._made is None:
            raise errors.Unavailable(
                f"the certificates in {names} cannot be used ({_said(error)}): wanted PEM files that this process may "
                f"read, a certificate with its own key"
            ) from error
        if stamp != self._refused:
            self._refused = stamp
            log.warning(
                "The new certificates in %s cannot be used, the last ones are: %s",
                names,
                _said(error),
            )
        return self._made[1]


class Certificates:
    """A caller's certificate, and the CA that it believes, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._certificate, self._key, self._ca = (
            folder / name for name in ("tls.crt", "tls.key", "ca.crt")
        )
        self._renewed = Renewed(self._certificate, self._key, self._ca, make=self._make)

    def context(self) -> ssl.SSLContext:
        """Return the context of the files as they are: another one where they have changed."""
        return self._renewed.context()

    def reason(self, error: Exception) -> str:
        """Say why a connection that was made with the context came to nothing."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not believed ({error.verify_message}): wanted one for its name, by {self._ca}"
        said = _said(error)
        if isinstance(error, ssl.SSLError) and "alert" in said:
            return f"it refuses the certificate {self._certificate} ({said}): wanted one in date, by a CA that it knows"
        # the alert may be lost with it
        if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError):
            return f"{said}; is the certificate {self._certificate} in date, and by a CA that it knows?"
        return said

    def _make(self) -> ssl.SSLContext:
        # checks the server's certificate and its name
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.load_verify_locations(self._ca)
        made.load_cert_chain(self._certificate, self._key, password="")
        return made


def connection(
    url: str, *, certificates: Certificates | None, timeout_seconds: float
) -> http.client.HTTPConnection:
    """Return a connection to the URL's host, not made yet; raises Unavailable where the
    certificates cannot be used."""
    place = urlsplit(url)
    if place.scheme != "https":
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout_seconds)
    context = certificates.context() if certificates else None
    return http.client.HTTPSConnection(
        place.hostname or "", place.port, timeout=timeout_seconds, context=context
    )


def listening(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return the context to listen with: each connection is made with the files as they are then.

    With `client_ca` callers are asked for a certificate; one without may come in, one with another
    CA's or out of date may not. Nothing is resumed: each connection is checked anew. Raises
    UsageError where the files cannot be used.
    """

    def make() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.num_tickets = 0
        made.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            made.verify_mode = ssl.CERT_OPTIONAL
            made.load_verify_locations(client_ca)
        return made

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = renewed.context()

    files = (certificate, key) if client_ca is None else (certificate, key, client_ca)
    renewed = Renewed(*files, make=make)
    try:
        renewed.context()
        first = make()
    except (errors.Unavailable, OSError) as error:
        raise errors.UsageError(str(error)) from error
    first.sni_callback = renew
    return first


def _stamp(files: Sequence[Path]) -> Stamp:
    found = [file.stat() for file in files]
    return tuple((of.st_ino, of.st_mtime_ns, of.st_size) for of in found)


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__
