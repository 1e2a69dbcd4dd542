"""Child processes that outlive their supervisor: recorded on disk, known again, stopped with all
that they started.

Each is the leader of a session of its own, so that a supervisor killed with -9 takes nobody with it
and its successor finds them by their records. A mark in the environment names each start. It is
inherited, so that it also finds what a killed process left behind, in whatever session that is; and
it tells both from a stranger that was given one of their pids.
"""

import contextlib
import dataclasses
import os
import select
import signal
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fairway import __version__, artifacts, errors

LOG_BYTES = 20 * 1024 * 1024  # a log that is larger when its process starts is put aside once
POLL_SECONDS = 0.05
KILL_SECONDS = 5.0  # what a killed process may take to be gone
MARK = "FAIRWAY_PROCESS_ID"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process as it was started. `created` and `mark` tell it from a later one with the same
    pid."""

    name: str
    pid: int  # 0: it was being started when this was written
    created: float
    argv: tuple[str, ...]
    started_at: float
    log: str
    mark: str = ""
    version: str = ""  # of fairway, that started it; earlier ones did not write it


class Child:
    """A process in a session of its own that may outlive this one.

    `poll` gives how it ended, and keeps it from staying a zombie.

    Not a Popen, which takes it for a mistake to leave a child running.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as out, Path(os.devnull).open("rb") as nothing:
            places = ((nothing.fileno(), 0), (out.fileno(), 1), (out.fileno(), 2))
            actions = [(os.POSIX_SPAWN_DUP2, opened, place) for opened, place in places]
            self.pid = os.posix_spawnp(argv[0], list(argv), env, file_actions=actions, setsid=True)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal), or None while it runs."""
        if self._status is None:
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if ended else None
        return self._status


class Processes:
    """The processes of one home directory."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "processes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, Child] = {}

    def start(
        self, name: str, *, argv: Sequence[str], env: Mapping[str, str], log: Path
    ) -> Process:
        """Start the process, its output appended to `log`.

        What an earlier one of the name left running is killed first.

        Raises PlatformError where it cannot be started, or one of the name still runs; Unavailable
        while the disk is full.
        """
        if self.alive(name):
            raise errors.PlatformError(f"{name} runs already: stop it before it is started again")
        self._clean(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))
        process = Process(
            name=name,
            pid=0,
            created=0.0,
            argv=tuple(argv),
            started_at=time.time(),
            log=str(log),
            mark=uuid.uuid4().hex,
            version=__version__,
        )
        try:
            artifacts.write_json(
                self._file(name), process
            )  # before it is there: a supervisor killed between the two loses nothing
        except OSError as error:
            raise errors.Unavailable(
                f"{name} cannot be started now, its record cannot be written ({error.strerror}): free the disk"
            ) from error
        try:
            child = Child(argv, env={**os.environ, **env, MARK: process.mark}, log=log)
        except OSError as error:
            self._file(name).unlink()
            raise errors.PlatformError(
                f"{name} cannot be started: {argv[0]}: {error.strerror}"
            ) from error
        self._children[name] = child
        process = dataclasses.replace(process, pid=child.pid, created=_created(child.pid))
        artifacts.write_json(self._file(name), process)
        return process

    def record(self, name: str) -> Process | None:
        """Return what was started under this name, running or not."""
        process = self._read(name)
        if process is None or process.pid:
            return process
        leader = next((found for found in _marked(process.mark) if _leads(found)), None)
        if leader is None:
            return None
        process = dataclasses.replace(process, pid=leader.pid, created=leader.create_time())
        artifacts.write_json(self._file(name), process)
        return process

    def alive(self, name: str) -> bool:
        """Say whether the process that was started under this name still runs."""
        process = self.record(name)
        child = self._children.get(name)
        if child is not None:
            child.poll()  # keeps it from staying a zombie
        return process is not None and _found(process) is not None

    def exit_status(self, name: str) -> int | None:
        """Return how it ended, where this supervisor started it and it has ended."""
        child = self._children.get(name)
        return child.poll() if child is not None else None

    def names(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the process's group: to itself and what it started in its own session.

        Does nothing where it has ended.
        """
        process = self.record(name)
        # the pid is its own still, so the group is
        if process is not None and _found(process) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def stop(self, name: str, *, grace_seconds: float = 10.0) -> None:
        """Ask the process to end and wait; what is left after that, or after the grace, is killed.
        Its record goes.

        Everything that it started goes with it, in whatever session.
        """
        process = self.record(name)
        family = _descendants(process) if process is not None else []
        if process is not None and _found(process) is not None:
            self.signal(name, signal.SIGTERM)
            self._wait(process, seconds=grace_seconds)
        self._clean(name, known=family)
        self.forget(name)

    def wait(self, name: str, *, seconds: float, wake: int) -> None:
        """Return when a process that runs has ended, when the descriptor `wake` can be read, or
        after so long."""
        with _descriptor(self.record(name) if self.alive(name) else None) as ended:
            select.select([wake, *ended], [], [], seconds)

    def forget(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.poll()
        self._file(name).unlink(missing_ok=True)

    def _clean(self, name: str, *, known: Iterable[psutil.Process] = ()) -> None:
        """Kill what is left of the process and of all that it started, and wait until it is gone."""
        process = self._read(name)
        if process is None:
            return
        left = {
            found.pid: found for found in (*known, *_descendants(process), *_marked(process.mark))
        }
        leader = _found(process)
        if leader is not None:
            left[leader.pid] = leader
        for found in left.values():
            with contextlib.suppress(psutil.Error):
                found.kill()  # looks at the start time first: never a stranger with the pid
        deadline = time.monotonic() + KILL_SECONDS
        while any(_lives(found) for found in left.values()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 5)
        child = self._children.get(name)
        if child is not None:
            child.poll()

    def _wait(self, process: Process, *, seconds: float) -> None:
        """Wait until the process has ended, at most so long."""
        deadline = time.monotonic() + seconds
        while self.alive(process.name) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _read(self, name: str) -> Process | None:
        try:
            return artifacts.from_json(Process, artifacts.read_json(self._file(name)))
        except FileNotFoundError:
            return None

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


@contextlib.contextmanager
def _descriptor(process: Process | None) -> Iterator[list[int]]:
    """Return a descriptor that can be read once the process has ended.

    None where it has, or where the system (macOS) has no such thing.
    """
    descriptors: list[int] = []
    if process is not None and sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(process.pid))
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _created(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0  # gone already: it will be found dead


def _found(process: Process) -> psutil.Process | None:
    """Return the process where it runs.

    A stranger with its pid has another mark and another start time; a set clock moves the latter.
    """
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(process.pid) if process.pid else None
        if (
            found is not None
            and _lives(found)
            and (abs(found.create_time() - process.created) < 0.01 or _has(found, process.mark))
        ):
            return found
    return None


def _descendants(process: Process) -> list[psutil.Process]:
    """Return what the process started, and they in turn.

    None where it has ended, since they are somebody else's children then.
    """
    leader = _found(process)
    with contextlib.suppress(psutil.Error):
        return leader.children(recursive=True) if leader is not None else []
    return []


def _marked(mark: str) -> list[psutil.Process]:
    """Return the processes that were started with this mark, or by one that was."""
    return [found for found in psutil.process_iter() if _has(found, mark)]


def _has(found: psutil.Process, mark: str) -> bool:
    try:
        return bool(mark) and found.environ().get(MARK) == mark
    except (psutil.Error, OSError):  # gone, or another user's
        return False


def _leads(found: psutil.Process) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(found.pid) == found.pid
    return False


def _lives(found: psutil.Process) -> bool:
    try:
        return bool(found.is_running() and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
