"""Online detectors: a window is a stream of rows, and what counts is the furthest that a few rows that
followed one another came from the reference. So a fault of an hour is seen that a whole window dilutes.

The statistic is the library's, over a sliding window of 20 rows. Its calibration is not: a level of .01 in
windows of 200 is one false alarm in 20,000 rows, for which it simulates many more streams than that (18 GB
with 2,000 rows of reference). Here the stream is held against 200 rows of the reference, and the others
are dealt out with the window's rows, 199 times: where nothing moved, the window is as likely as each of
these streams to have come furthest. That is exact where rows may come in any order, and takes the memory
of one stream; dealing stops early where the window is nothing special (Besag and Clifford 1991).

Every window is a stream of its own, for which the detector is armed anew: nothing has to survive a
restart, and no history grows.

Cobb, Van Looveren and Klaise 2022 (MMD, LSDD); Ross and Adams 2012 (CVM); Ross, Tasoulis and Adams 2013
(FET).
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring.detectors import together
from fairway.monitoring.detectors.alibi import library
from fairway.monitoring.detectors.base import Array

SLIDING = 20  # rows: fewer tell little, and more of a window of 50 are most of it
STREAM_ROWS = 100  # of a window, evenly: each row of each stream takes .2 ms
ARMED_ROWS = 200  # of the reference, or half of it
LEAST_REFERENCE = 200  # rows, of which the least-squares difference leaves 21 to hold against
ENOUGH = 10  # streams as far as the window's: p is above .05 then, whatever more of them say
AT_ONCE = 512  # columns: streams are tested side by side as columns of one detector
MOST_NUMBERS = 128  # of a row, each a stream by itself
JITTER = 1e-3  # standard deviations
# the library's own calibration, which is made and not used
UNUSED: dict[str, Any] = {"ert": 20, "verbose": False}


class OnlineDetector(together.TogetherDetector):
    """What all of them share: streams are dealt, and the furthest that each comes is compared."""

    most_rows: ClassVar[int] = 2_000  # many, for the fewer of the window's are among those dealt

    def __init__(self, *, p_value: float, schema: Schema) -> None:
        super().__init__(p_value=p_value, schema=schema)
        library.load()

    def test(self, reference: together.Rows, window: together.Rows) -> tuple[float, float]:
        if len(reference) < LEAST_REFERENCE:
            raise errors.DataError(
                f"the reference has {len(reference)} rows: an online detector wants at least {LEAST_REFERENCE}"
            )
        stream = together.thinned(window, most=STREAM_ROWS)
        held = np.arange(len(reference)) % max(len(reference) // ARMED_ROWS, 2) == 0
        with library.steady():
            self.arm(reference[held])
            return self._dealt(stream, reference[~held])

    @abstractmethod
    def arm(self, reference: Array) -> None:
        """Hold the streams to come against these rows [rows, numbers]."""

    @abstractmethod
    def furthest(self, streams: Array) -> Array:
        """Return the largest statistic of each stream [streams, rows, numbers]."""

    def _dealt(self, stream: Array, others: Array) -> tuple[float, float]:
        """Return p-value and statistic of a stream among those dealt from it and others."""
        generator = np.random.default_rng(library.SEED)
        pool = np.concatenate([stream, others])
        (observed,) = self.furthest(stream[None])
        if not np.isfinite(observed):
            return np.nan, np.nan  # is refused in a sentence
        further = dealt = 0
        while dealt < together.PERMUTATIONS and further < ENOUGH:
            count = min(max(AT_ONCE // pool.shape[1], 1), together.PERMUTATIONS - dealt)
            orders = [generator.permutation(len(pool))[: len(stream)] for _ in range(count)]
            as_far = np.cumsum(self.furthest(pool[np.stack(orders)]) >= observed)
            used = min(int(np.searchsorted(as_far, ENOUGH - further)) + 1, count)
            further, dealt = further + int(as_far[used - 1]), dealt + used
        return (1 + further) / (1 + dealt), float(observed)


class OneByOne(OnlineDetector):
    """A detector of whole rows, which takes them one by one."""

    _detector: Any

    def arm(self, reference: Array) -> None:
        # of rows that are equal, which words are, a kernel's width is 0
        noise = np.random.default_rng(library.SEED).normal(0, JITTER, reference.shape)
        self._detector = self.made((reference + noise).astype(np.float32))

    @abstractmethod
    def made(self, reference: Array) -> Any:
        """Return the library's detector for a reference."""

    def furthest(self, streams: Array) -> Array:
        import torch

        with torch.inference_mode():
            return np.array([self._along(rows) for rows in streams.astype(np.float32)])

    def _along(self, rows: Array) -> float:
        self._detector.reset_state()
        # `score` and not `predict`, which keeps all that it ever said
        return max(float(self._detector.score(row)) for row in rows)


class MmdOnline(OneByOne):
    """The maximum mean discrepancy, for whatever moved."""

    def made(self, reference: Array) -> Any:
        return _inner(library.load().MMDDriftOnline, reference)


class LsddOnline(OneByOne):
    """The least-squares difference of densities: twice as fast, and rougher."""

    def made(self, reference: Array) -> Any:
        return _inner(library.load().LSDDDriftOnline, reference)


def _inner(kind: Any, reference: Array) -> Any:
    """Return what the library's detector of a kind scores rows with."""
    return kind(
        reference,
        window_size=SLIDING,
        backend="pytorch",
        device="cpu",
        n_bootstraps=200,
        **UNUSED,
    )._detector


class ColumnByColumn(OnlineDetector):
    """A detector of single columns, of which the one that is furthest counts. Streams stand side by side
    as columns of one detector, which makes a hundred of them take the time of one."""

    _reference: Array

    def arm(self, reference: Array) -> None:
        if reference.shape[1] > MOST_NUMBERS:
            raise errors.DataError(
                f"a row has {reference.shape[1]} numbers: wanted at most {MOST_NUMBERS} where each is a stream by "
                "itself; take alibi-mmd-online, which takes them together"
            )
        self._reference = reference

    def _side_by_side(self, detector: Any, streams: Array) -> Array:
        """Return the largest statistic of each stream; the detector's columns are theirs."""
        count, rows, numbers = streams.shape
        largest = np.full(count * numbers, -np.inf)
        for place in range(rows):
            # NaN until a sliding window is full, which fmax passes over
            found = np.fmax.reduce(detector.score(streams[:, place].reshape(-1)), axis=0)
            largest = np.fmax(largest, found)
        of_streams: Array = largest.reshape(count, numbers).max(axis=1)
        return of_streams


class CvmOnline(ColumnByColumn):
    """Cramer-von Mises for numbers."""

    def furthest(self, streams: Array) -> Array:
        known = np.tile(self._reference, (1, len(streams)))
        detector = _uncalibrated(library.load().CVMDriftOnline)(
            known, window_sizes=[SLIDING], **UNUSED
        )
        return self._side_by_side(detector, streams)


class FetOnline(ColumnByColumn):
    """Fisher's exact test for columns of two values; a number counts as above its middle or not. Of 20
    rows alone, all above it, chance brings as many among 199 streams of many columns: 40 count too."""

    def furthest(self, streams: Array) -> Array:
        middle = np.median(self._reference, axis=0)
        # of 0 and 1, mostly 1, the middle is 1
        middle = np.where(self._reference.max(axis=0) == middle, middle - JITTER, middle)
        known = np.tile(self._reference > middle, (1, len(streams)))
        one_sided = [
            self._side_by_side(
                _uncalibrated(library.load().FETDriftOnline)(
                    known, window_sizes=[SLIDING, 2 * SLIDING], alternative=side, **UNUSED
                ),
                streams > middle,
            )
            for side in ("greater", "less")
        ]
        return np.maximum(*one_sided)


def _uncalibrated(kind: Any) -> Any:
    """Return the library's class without its simulation of streams, which fails for some seeds."""
    return type(kind.__name__, (kind,), {"_configure_thresholds": lambda _: None})
