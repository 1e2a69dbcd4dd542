"""What requests cost on this machine, measured when a server starts: which bodies the event loop may
answer, and how many rows are too much work."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from fairway.serving import admission, asking, predictor

# longest that one request may hold the event loop: what its neighbours then wait
INLINE_SECONDS = 0.002
INLINE_LARGEST = 1 << 20
LONGEST_SIZE = 64  # rows that calibration goes up to
# of what a body takes: the least of as many as fit
SAMPLES, FEWEST_SAMPLES, SAMPLE_SECONDS = 15, 3, 1.0
DEAR_BYTES = 1 << 14  # of the bodies that calibration takes for the dearest a client can make
Answer = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of work, and the bounds that follow from them."""

    request: float = 0.0
    byte: float = 0.0  # of a request's body
    # of each byte of JSON, where a client makes it as dear as it can
    dearest: float = 0.0
    inline_bytes: int = 0  # of a body that the event loop answers
    most_rows: int = LONGEST_SIZE

    def of(self, size: int) -> float:
        """Return the seconds that a body of this size takes."""
        return self.request + self.byte * size

    def most(self, size: int, *, document: int | None) -> float:
        """Return the seconds that a body of this size may take, if its JSON is as dear as JSON can
        be; `document` is the length of its JSON, None where all of it is."""
        plain = size if document is None else min(size, document)
        return max(self.of(size), self.dearest * plain)


def by_size(model: predictor.Predictor, *, answer: Answer, timeout: float) -> Costs:
    """Return what requests of one row and of many take to `answer`, and the bounds by it."""
    sizes = [
        asking.request_body(model.sample(rows=rows), features=model.features)
        for rows in (1, LONGEST_SIZE)
    ]
    fast, slow = least(*sizes, answer=answer)
    more = max(slow - fast, 1e-9)
    per_byte = more / (len(sizes[1]) - len(sizes[0]))
    inline = len(sizes[0]) + int((INLINE_SECONDS - fast) / per_byte)
    return Costs(
        request=fast,
        byte=per_byte,
        inline_bytes=min(INLINE_LARGEST, inline) if fast <= INLINE_SECONDS else 0,
        most_rows=_power_of_two(admission.WORK_SHARE * timeout / (more / (LONGEST_SIZE - 1))),
    )


def by_form(costs: Costs, model: predictor.Predictor, *, answer: Answer) -> Costs:
    """Return the costs with those of the dearest body that a client can write, and the bound by
    it."""
    dear = asking.dear_bodies(model.features, size=DEAR_BYTES, most_rows=costs.most_rows)
    seconds = least(*dear, answer=answer)
    dearest = max(cost / len(body) for cost, body in zip(seconds, dear, strict=True))
    inline = min(costs.inline_bytes, int(admission.ROUND_SECONDS / dearest))
    return replace(costs, dearest=dearest, inline_bytes=inline)


def least(*bodies: bytes, answer: Answer) -> list[float]:
    """Return the least seconds that each body took, of as many tries in turns as fit into a second
    (three at the least)."""
    found, until = [math.inf] * len(bodies), time.perf_counter() + SAMPLE_SECONDS
    for number in range(SAMPLES):
        if number >= FEWEST_SAMPLES and time.perf_counter() > until:
            break
        found = [
            min(known, _timed(body, answer)) for known, body in zip(found, bodies, strict=True)
        ]
    return found


def _timed(body: bytes, answer: Answer) -> float:
    """Return the seconds that the body takes on an idle machine.

    Of the clock and the processor's time the lesser: the clock goes on while a busy node lets
    others run, and a server that starts then would refuse what its replicas take; the processor's
    time is the sum of all threads'.
    """
    started, used = time.perf_counter(), time.process_time()
    answer(body)
    return min(time.perf_counter() - started, time.process_time() - used)


def _power_of_two(number: float) -> int:
    """Return the power of two at or below the number: replicas that measure nearly the same then
    have the same bound."""
    return max(LONGEST_SIZE, 1 << int(math.log2(max(number, 1.0))))
