"""The events of a body: small bodies are read at once, larger ones in a process of their own.

Reading JSON holds Python's lock until it is done, and with it every other thread: the loop that
answers as well. The longest pause measured on a machine of two cores, in this process and by a
process of its own:

    10,000 events of a server, 9.9 MiB     0.30 s    15 ms
    1 million lists of a number, 3.8 MiB   0.53 s    12 ms
    1.9 million empty lists, 5.4 MiB       0.97 s    12 ms
    4 million numbers, 57 MiB              3.68 s   116 ms

The second is the time to take over the rows. A body of INLINE_BYTES pauses the others for 45 ms at
worst.

    python -m fairway.monitoring.eventstore.collector.parsing      what the collector starts, once a large body has come
"""

import marshal
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

import orjson

from fairway import errors
from fairway.monitoring.eventstore import cloudevents, loggers
from fairway.monitoring.eventstore.collector import bodies
from fairway.serving import decoding

INLINE_BYTES = 256 << 10  # of a body that is read at once; what was compressed may be of any size
MAX_BATCH = 10_000  # as many as serving.events.batchSize allows
MAX_VALUES = 5_000_000  # of JSON in a body: a few bytes each, and 72 and more once read
MAX_HEAVY = 2_000_000  # of them lists, objects and fields of objects: up to 150 bytes each
LENGTH = struct.Struct("!Q")


class Form(NamedTuple):
    """What a request says of its body."""

    kind: str  # events | labels | outcomes | payloads
    encoding: str
    largest: int  # bytes, once unpacked
    deployment: str | None  # of a short form that names none
    namespace: str
    now: float  # the time of a short form, in seconds since the epoch
    # of an event that is the body itself: in headers, and not in JSON (binary mode)
    attributes: dict[str, str] | None = None
    told: tuple[Any, ...] = ()  # of payloads, by their logger's URL


Read = cloudevents.EventRow | loggers.Half


def parsed(body: bytes, form: Form) -> Sequence[Read]:
    """Return the events in the body, or the halves of such; raise DataError, TooLarge or
    Undecodable for what is not as it should be."""
    data = _loaded(decoding.decoded(body, encoding=form.encoding, largest=form.largest))
    items = data if isinstance(data, list) and not form.attributes else [data]
    if len(items) > MAX_BATCH:
        raise bodies.TooLarge(
            f"the batch has {len(items)} events: wanted {MAX_BATCH} at most; nothing was stored"
        )
    read = READERS[form.kind]
    return [read(item, form, position) for position, item in enumerate(items)]


def _loaded(body: bytes) -> object:
    if len(body) > MAX_HEAVY and _is_heavy(body):  # counting takes longer than reading
        raise bodies.TooLarge(
            f"the body has more than {MAX_VALUES} values, or {MAX_HEAVY} lists and fields: send fewer events at once; "
            "nothing was stored"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.DataError(
            f"the body is no JSON ({error}): wanted a list of CloudEvents; nothing was stored"
        ) from error


def _is_heavy(body: bytes) -> bool:
    """Say whether it may have more values than may be read; those in words count, too."""
    heavy = sum(map(body.count, (b"[", b"{", b":")))
    return heavy > MAX_HEAVY or heavy + body.count(b",") > MAX_VALUES


def _event(item: object, _: Form, position: int) -> cloudevents.EventRow:
    return cloudevents.parse(item, position=position)


def _label(item: object, form: Form, position: int) -> cloudevents.EventRow:
    return _short(item, form, position, read=cloudevents.label)


def _outcome(item: object, form: Form, position: int) -> cloudevents.EventRow:
    return _short(item, form, position, read=cloudevents.outcome)


def _short(
    item: object, form: Form, position: int, *, read: Callable[..., cloudevents.EventRow]
) -> cloudevents.EventRow:
    """Return a CloudEvent's row, or that of the short form, whose deployment and namespace may be
    in the query."""
    if isinstance(item, dict) and "specversion" in item:
        return cloudevents.parse(item, position=position)
    return read(
        item, deployment=form.deployment, namespace=form.namespace, time=form.now, position=position
    )


def _payload(item: object, form: Form, position: int) -> loggers.Half:
    event = {**form.attributes, "data": item} if form.attributes else item
    told = loggers.LoggerUrl(*form.told)
    return loggers.half(event, told=told, now=form.now, position=position)


READERS: dict[str, Callable[[object, Form, int], Read]] = {
    "events": _event,
    "labels": _label,
    "outcomes": _outcome,
    "payloads": _payload,
}


# -- in a process of its own -----------------------------------------------------------------------


class Parser:
    """Reads larger bodies in a process that is started when it is needed; threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def number(self) -> int | None:
        """Return the number of the process that runs."""
        return self._process.pid if self._process else None

    def parsed(self, body: bytes, form: Form) -> Sequence[Read]:
        """Do what `parsed` does; raise Unavailable where the process ends, which the next body
        starts anew."""
        with self._lock:
            try:
                answer = self._exchanged(body, form)
            except (OSError, EOFError) as error:
                self._end()
                raise errors.Unavailable(
                    "the process that reads larger bodies has ended; nothing was stored, try again"
                ) from error
        if isinstance(answer, dict):
            raise _refusal(**answer)
        if form.kind == "payloads":
            return [loggers.Half(*row) for row in answer]
        return [cloudevents.EventRow(*row) for row in answer]

    def close(self) -> None:
        with self._lock:
            self._end()

    def _exchanged(self, body: bytes, form: Form) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C is for the collector, which ends this process by its pipe
                start_new_session=True,
            )
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        _send(asked, marshal.dumps(tuple(form)))
        _send(asked, body)
        return marshal.loads(_received(answered))  # noqa: S302 - of this program's own child

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent yet has nobody to go to
                    pipe.close()


def _refusal(kind: str, sentence: str, status: int) -> errors.FairwayError:
    if kind == "undecodable":
        return decoding.Undecodable(sentence, status=status)
    return bodies.TooLarge(sentence) if kind == "large" else errors.DataError(sentence)


def _answer(body: bytes, form: Form) -> Any:
    """Return what the collector is told: the rows, or what is wrong with the body."""
    try:
        return [tuple(row) for row in parsed(body, form)]
    except decoding.Undecodable as error:
        return {"kind": "undecodable", "sentence": str(error), "status": error.status}
    except bodies.TooLarge as error:
        return {"kind": "large", "sentence": str(error), "status": 0}
    except errors.DataError as error:
        return {"kind": "data", "sentence": str(error), "status": 0}


def _send(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def _received(pipe: IO[bytes]) -> bytes:
    """Return what was sent; raise EOFError where the other end is gone."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], number: int) -> bytes:
    content = pipe.read(number)
    if len(content) < number:
        raise EOFError
    return content


def main() -> int:
    """Answer bodies until the collector is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answered = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError, BrokenPipeError):
        while True:
            form = Form(*marshal.loads(_received(asked)))  # noqa: S302 - of the collector that started this
            _send(answered, marshal.dumps(_answer(_received(asked), form)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
