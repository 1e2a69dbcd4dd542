"""Child processes that outlive their supervisor: recorded on disk, known again by pid and start time, stopped as a group.

Each is the leader of a session of its own, so that a supervisor killed with -9 takes nobody with it and its successor
finds them by their records.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from fairway import artifacts, errors

LOG_BYTES = 20 * 1024 * 1024   # a log that is larger when its process starts is put aside once
POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process as it was started. `created` tells it from a later one with the same pid."""

    name: str
    pid: int
    created: float
    argv: tuple[str, ...]
    started_at: float
    log: str


class Processes:
    """The processes of one home directory."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "processes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        """Starts the process, its output appended to `log`; raises PlatformError where it cannot be started."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))
        with log.open("ab") as out:
            try:
                child = subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            except OSError as error:
                raise errors.PlatformError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from error
        self._children[name] = child
        process = Process(name=name, pid=child.pid, created=_created(child.pid), argv=tuple(argv), started_at=time.time(), log=str(log))
        artifacts.write_json(self._file(name), process)
        return process

    def record(self, name: str) -> Process | None:
        """Gives what was started under this name, running or not."""
        try:
            return artifacts.from_json(Process, artifacts.read_json(self._file(name)))
        except FileNotFoundError:
            return None

    def alive(self, name: str) -> bool:
        """Says whether the process that was started under this name still runs."""
        child = self._children.get(name)
        if child is not None and child.poll() is not None:  # also keeps it from staying a zombie
            return False
        process = self.record(name)
        return process is not None and _runs(process)

    def exit_status(self, name: str) -> int | None:
        """Gives how it ended, where this supervisor started it and it has ended."""
        child = self._children.get(name)
        return child.poll() if child is not None else None

    def names(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to the process and all it started."""
        process = self.record(name)
        if process is not None and (_runs(process) or _group(process)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def stop(self, name: str, *, grace_seconds: float = 10.0) -> None:
        """Asks the process to end and waits; after the grace it is killed, with all it started. Its record goes."""
        process = self.record(name)
        if process is not None:
            self.signal(name, signal.SIGTERM)
            if not self._ended(process, within=grace_seconds):
                self.signal(name, signal.SIGKILL)
                self._ended(process, within=5.0)
            elif _group(process):  # the leader is gone, a child of it is not
                self.signal(name, signal.SIGKILL)
        self.forget(name)

    def forget(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.poll()
        self._file(name).unlink(missing_ok=True)

    def _ended(self, process: Process, *, within: float) -> bool:
        deadline = time.monotonic() + within
        while True:
            child = self._children.get(process.name)
            if child is not None:
                child.poll()
            if not _runs(process):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _created(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0  # gone already: it will be found dead


def _runs(process: Process) -> bool:
    try:
        found = psutil.Process(process.pid)
        return bool(abs(found.create_time() - process.created) < 0.01 and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _group(process: Process) -> bool:
    """Says whether anything of the process's group is left. Its members carry the leader's session, so a reused pid is not taken for it."""
    for found in psutil.process_iter():
        try:
            if os.getpgid(found.pid) == process.pid and found.status() != psutil.STATUS_ZOMBIE and found.create_time() >= process.created - 0.01:
                return True
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return False
