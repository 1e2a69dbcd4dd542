"""Bodies that were sent compressed: `content-encoding: gzip` or `deflate`, unpacked up to a bound
and no byte further."""

import zlib

from fairway import errors

GZIP, ZLIB, RAW = 31, 15, -15  # zlib's names of the three containers
IDENTITY = ("", "identity")


class Undecodable(errors.Permanent):
    """The body cannot be unpacked; `status` is what HTTP calls that."""

    def __init__(self, sentence: str, *, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def decoded(body: bytes, *, encoding: str, largest: int) -> bytes:
    """Return the body as it was before it was compressed; raises Undecodable where it would be
    larger than `largest` bytes."""
    kind = encoding.strip().lower()
    if kind in IDENTITY:
        return body
    if kind not in ("gzip", "x-gzip", "deflate"):
        raise Undecodable(
            f"content-encoding is {errors.shortened(encoding)!r}: wanted gzip, deflate, or no such header",
            status=415,
        )
    unpacking = zlib.decompressobj(_container(kind, body))
    try:
        plain = unpacking.decompress(body, largest + 1)
    except zlib.error as error:
        raise Undecodable(
            f"the body is no {kind} ({error}): wanted what content-encoding says", status=400
        ) from error
    if len(plain) > largest:
        raise Undecodable(
            f"the body unpacks to more than {largest} bytes: wanted at most that, send less at once",
            status=413,
        )
    if not unpacking.eof:
        raise Undecodable(f"the body ends within its {kind}: wanted all of it", status=400)
    if unpacking.unused_data:
        raise Undecodable(
            f"{len(unpacking.unused_data)} bytes follow the {kind}: wanted one, and nothing after it",
            status=400,
        )
    return plain


def _container(kind: str, body: bytes) -> int:
    """Return zlib's name of the container. `deflate` means zlib's, but some clients send the bare
    stream."""
    if kind != "deflate":
        return GZIP
    framed = (
        len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    )  # RFC 1950, section 2.2
    return ZLIB if framed else RAW
