"""What a stranger may send to a deployment: bodies, halves of bodies and headers, each a thing that
once did harm."""

import contextlib
import gzip
import json
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from tests.serving import support

WORD = "x" * 25_000


@dataclass(frozen=True)
class Attack:
    """One request with a body that comes whole."""

    name: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def _tensor(name: str, datatype: str, shape: list[int], data: object) -> bytes:
    others = [one for one in support.ONE["inputs"] if one["name"] != name]
    return json.dumps(
        {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}, *others]}
    ).encode()


def _nested(depth: int, *, inside: str = '"x"') -> bytes:
    data = "[" * depth + inside + "]" * depth
    return (
        b'{"inputs":[{"name":"sector","datatype":"BYTES","shape":[1],"data":'
        + data.encode()
        + b"}]}"
    )


def _binary(size: int, *, shape: list[int]) -> Attack:
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "age",
                    "datatype": "FP64",
                    "shape": shape,
                    "parameters": {"binary_data_size": size},
                }
            ]
        }
    ).encode()
    return Attack(
        f"binary tensor of {size} bytes and shape {shape}",
        header + b"\0" * 64,
        {"inference-header-content-length": str(len(header))},
    )


def bodies() -> list[Attack]:
    """Return the hostile bodies; a server answers each with 2xx or 4xx, and in bounded memory."""
    one = json.dumps(support.ONE).encode()
    return [
        Attack(
            "one long word among many short ones, for a number",
            _tensor("age", "FP64", [20_000], [WORD, *[""] * 19_999]),
        ),
        Attack(
            "one long word among many short ones, for a category",
            _tensor("sector", "BYTES", [20_000], [WORD, *[""] * 19_999]),
        ),
        Attack(
            "nested lists of words",
            _tensor("sector", "BYTES", [100, 200], [[WORD, *[""] * 199], *[[""] * 200] * 99]),
        ),
        Attack("a shape whose product overflows", _tensor("age", "FP64", [2**32, 2**32], [1.0])),
        Attack("a shape beyond any integer", _tensor("age", "FP64", [10**30], [1.0])),
        Attack("a negative shape", _tensor("age", "FP64", [-1], [1.0])),
        Attack(
            "five thousand outputs",
            json.dumps({**support.ONE, "outputs": [{"name": "probabilities"}] * 5_000}).encode(),
        ),
        Attack(
            "the same output twice",
            json.dumps({**support.ONE, "outputs": [{"name": "probabilities"}] * 2}).encode(),
        ),
        Attack("words nested 1,000 deep", _nested(1_000)),
        Attack("words nested 100,000 deep", _nested(100_000)),
        Attack("numbers nested 1,000 deep", _nested(1_000, inside="1")),
        Attack("the largest number", _tensor("age", "FP64", [1], [1.7976931348623157e308])),
        Attack("an infinite number", one.replace(b"39", b"1e999")),
        Attack(
            "more rows than can be answered in time",
            json.dumps(
                support.tensors([39] * 200_000, [40] * 200_000, ["state"] * 200_000)
            ).encode(),
        ),
        Attack("no JSON", b"\xff\xfe\x00"),
        Attack("half of it", one[: len(one) // 2]),
        Attack("nothing", b""),
        Attack("a list", b"[]"),
        Attack(
            "the same input ten thousand times",
            json.dumps({"inputs": support.ONE["inputs"] * 10_000}).encode(),
        ),
        Attack("a compressed body", gzip.compress(one), {"content-encoding": "gzip"}),
        Attack(
            "a body that unpacks to a gigabyte",
            gzip.compress(b"[" + b" " * 2**26),
            {"content-encoding": "gzip"},
        ),
        Attack("a coding that nobody knows", one, {"content-encoding": "xyz"}),
        _binary(2**60, shape=[1]),
        _binary(64, shape=[2**40]),
        _binary(-8, shape=[8]),
        Attack(
            "a header length beyond the body", one, {"inference-header-content-length": "999999999"}
        ),
        Attack(
            "a header length that is no number", one, {"inference-header-content-length": "ten"}
        ),
        Attack("a long request id", one, {"x-request-id": "i" * 4_000}),
        Attack("a long unit", one, {"x-fairway-unit": "u" * 4_000}),
    ]


@dataclass
class Outcome:
    """What became of the attacks."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: dict[str, set[int]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def server_errors(self) -> dict[str, set[int]]:
        """Return the attacks that were answered with 5xx."""
        return {
            name: found
            for name, statuses in self.answered.items()
            if (found := {status for status in statuses if status >= 500})
        }


def play(
    url: str,
    attacks: Iterable[Attack],
    *,
    units: Iterable[str],
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """Send each attack once as each unit, so that both arms get it."""
    outcome, units = Outcome(), list(units)
    with httpx.Client(timeout=60, headers=headers) as client:
        for attack in attacks:
            for unit in units:
                try:
                    answer = client.post(
                        url, content=attack.body, headers={"x-fairway-unit": unit, **attack.headers}
                    )
                # a gateway may close a connection on what it refuses
                except httpx.HTTPError as error:
                    outcome.broken.append(f"{attack.name}: {error!r}")
                    continue
                outcome.statuses[answer.status_code] += 1
                outcome.answered.setdefault(attack.name, set()).add(answer.status_code)
    return outcome


@contextlib.contextmanager
def half_open(
    address: tuple[str, int], *, path: str, host: str, count: int
) -> Iterator[list[socket.socket]]:
    """Hold uploads open that announce a body and send one byte of it."""
    lines = (
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        "content-length: 100000",
    )
    head = "\r\n".join([*lines, "", "{"]).encode()
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.create_connection(address, timeout=10)
            connection.sendall(head)
            held.append(connection)
        yield held
    finally:
        for connection in held:
            connection.close()
