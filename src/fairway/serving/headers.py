"""What a request's headers say: its id, its unit, its client, its arm, the length of its parts."""

import hashlib
import os
import re
from collections.abc import Iterable

from fairway.serving import protocol

ROLES = {
    b"stable": "stable",
    b"canary": "canary",
    b"named": "named",
}  # named: the client asked for this revision by its name
SANE_ID = re.compile(rb"[\x20-\x7e]{1,128}")
SANE_UNIT = re.compile(rb"[\x20-\x7e]{1,256}")
LONGEST_NUMBER = 18  # digits; longer ones are nonsense and would cost time to read


class RequestHead:
    """What is known of one request; made with defaults first, so that even a refused request has
    its id."""

    __slots__ = (
        "arrived",
        "client",
        "content_length",
        "digest",
        "encoding",
        "header_length",
        "request_id",
        "role",
        "size",
        "unit",
    )

    def __init__(self) -> None:
        self.request_id = ""
        self.unit: str | None = None
        self.client: str | None = None  # bucket of the address that the gateway was asked from
        self.role = "shadow"  # the gateway names the arm; a mirrored copy carries none
        self.header_length: int | None = None
        self.content_length = 0
        self.encoding = ""  # how the body was compressed; empty where it was not
        self.arrived = 0.0  # time.perf_counter() when its last byte had come
        self.digest: str | None = None
        self.size = 0  # bytes of the body, unpacked


def read(
    fields: Iterable[tuple[bytes, bytes]], *, into: RequestHead, revision: bytes = b""
) -> None:
    """Fill in the call; raises Invalid at the end, when id and role are known already.

    `revision` is the server's own: a gateway with a single backend puts the arm on the request
    before it is copied, and then only the revision that it names beside tells the copy from the
    original.
    """
    wrong: str | None = None
    meant, units = revision, list[bytes]()
    for name, value in fields:
        if name == b"x-request-id":
            if SANE_ID.fullmatch(value):
                into.request_id = value.decode("ascii")
        elif name == b"x-forwarded-for":
            into.client = bucket(value)
        elif name == b"content-length":
            into.content_length = _number(value) or 0
        elif name == b"content-encoding":
            into.encoding = ", ".join(filter(None, (into.encoding, value.decode("latin-1"))))
        elif name == b"x-fairway-arm":
            role = ROLES.get(value)
            if role is None:
                wanted = "stable, canary or named, or no such header for a mirrored copy"
                wrong = f"x-fairway-arm is {_shown(value)}: wanted {wanted}"
            into.role = role or "shadow"
        elif name == b"x-fairway-revision":
            meant = value
        elif name == b"x-fairway-unit":
            units.append(value)
        elif name == protocol.HEADER_LENGTH:
            into.header_length = _number(value)
            if into.header_length is None:
                wrong = (
                    f"inference-header-content-length is {_shown(value)}: "
                    "wanted the number of bytes of the JSON part"
                )
    if meant != revision:
        into.role = "shadow"
    if units:
        into.unit, refusal = _unit(units)
        wrong = wrong or refusal
    if not into.request_id:
        into.request_id = os.urandom(16).hex()
    if wrong:
        raise protocol.Invalid(wrong)


def bucket(forwarded: bytes) -> str | None:
    """Return one of 65,536 buckets for the client's address: it tells clients apart well enough to
    bound what one weighs, and no address from another.

    The last address is the gateway's own word; those before it are the client's. Of an IPv6 address
    only the network counts: its rest is the client's choice.
    """
    address = forwarded.rpartition(b",")[2].strip()
    if not address:
        return None
    if address.count(b":") > 1 and b"." not in address:
        address = b":".join(address.split(b":")[:4])
    return hashlib.blake2b(address, digest_size=2).hexdigest()


def _unit(values: list[bytes]) -> tuple[str, str | None]:
    """Return the unit, and what is wrong with its name. A wrong one is a unit too: the gateway has
    hashed it to an arm, and it counts as one."""
    if len(values) == 1 and SANE_UNIT.fullmatch(values[0]) and not values[0].isspace():
        return values[0].decode("ascii"), None
    seen = _shown(values[0]) if len(values) == 1 else f"there {len(values)} times"
    made_up = hashlib.blake2b(b"\0".join(sorted(values)), digest_size=16).hexdigest()
    return (
        f"refused:{made_up}",
        f"x-fairway-unit is {seen}: wanted 1 to 256 printable characters once, or no such header",
    )


def _number(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= LONGEST_NUMBER else None


def _shown(value: bytes) -> str:
    return repr(value[:60].decode("latin-1"))
