"""Events on disk that could not be delivered: append-only segments, oldest first, deleted when
acknowledged.

A segment is a file of JSON lines. Whoever writes or replays one holds a lock on it (`flock`), which
the kernel gives back when the holder dies: several workers share one folder, and a server that was
killed leaves its segments to the next one.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# small enough to replay one between two ticks, large enough to keep the folder short
SEGMENT_BYTES = 1 << 20
SUFFIX = ".jsonl"


@dataclass(frozen=True, kw_only=True)
class Appended:
    """What became of the lines that were to be spooled; `reason` is why some were not."""

    written: int
    reason: str | None = None  # full | disk


class Spool:
    """A bounded queue of lines in `folder`, shared with other processes."""

    def __init__(
        self, folder: Path, *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._segment_bytes = segment_bytes
        self._descriptor: int | None = None
        self._size = 0  # of the open segment
        self._number = 0
        self._lock = threading.RLock()  # the hot path writes while the thread replays

    def append(self, lines: Sequence[bytes]) -> Appended:
        """Write the lines that fit; a full disk or a full spool leaves the newest out, and never
        raises."""
        with self._lock:
            return self._append(lines)

    def _append(self, lines: Sequence[bytes]) -> Appended:
        room = self._limit - self.bytes_used()
        written = 0
        try:
            for line in lines:
                if len(line) + 1 > room:
                    return Appended(written=written, reason="full")
                self._write(line + b"\n")
                room -= len(line) + 1
                written += 1
        # ENOSPC, EDQUOT, EROFS, a folder that is gone: the prediction matters more than its event
        except OSError:
            self.seal()
            return Appended(written=written, reason="disk")
        return Appended(written=written)

    def bytes_used(self) -> int:
        """Return the bytes of all segments, other workers' included."""
        return sum(size for _, size in self._segments())

    def replay(self) -> Iterator["SpoolSegment"]:
        """Return the segments that nobody else holds, oldest first, each locked until the caller
        moves on."""
        self.seal()
        for path, _ in self._segments():
            segment = _claim(path)
            if segment is not None:
                try:
                    yield segment
                finally:
                    segment.release()

    def seal(self) -> None:
        """Close the open segment, so that it can be replayed; the next line opens another."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _write(self, data: bytes) -> None:
        if self._descriptor is None or self._size + len(data) > self._segment_bytes:
            self._open()
        assert self._descriptor is not None
        try:
            count = os.write(self._descriptor, data)
            if count != len(data):
                raise OSError(errno.ENOSPC, "the disk took a part of a line")
        except OSError:
            os.ftruncate(self._descriptor, self._size)  # a half line would spoil the next one
            raise
        self._size += count

    def _open(self) -> None:
        self.seal()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        # names sort by age
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}-{self._number}{SUFFIX}"
        descriptor = os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o640
        )
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._descriptor, self._size = descriptor, 0

    def _segments(self) -> list[tuple[Path, int]]:
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIX):
                        try:
                            found.append((Path(entry.path), entry.stat().st_size))
                        except FileNotFoundError:
                            continue  # another worker delivered and deleted it
        except OSError:
            return []
        return sorted(found)


class SpoolSegment:
    """One locked file of lines; `acknowledge` deletes it."""

    def __init__(self, path: Path, *, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def lines(self) -> list[bytes]:
        """Return the complete lines; one cut short by a kill is left out."""
        return [line for line in self._path.read_bytes().split(b"\n")[:-1] if line]

    def acknowledge(self) -> None:
        self._path.unlink(missing_ok=True)

    def release(self) -> None:
        os.close(self._descriptor)


def _claim(path: Path) -> SpoolSegment | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if not path.exists():  # deleted between open and lock
        os.close(descriptor)
        return None
    return SpoolSegment(path, descriptor=descriptor)
