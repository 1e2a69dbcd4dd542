"""Child processes: known again, stopped with all they started, and never taken for a stranger."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fairway import artifacts, errors
from fairway.platforms.local import processes, sockets
from fairway.platforms.local.processes import Process, Processes
from tests.platforms.local.support import until

SLEEP = ["sleep", "600"]
FAMILY = "sleep 600 & echo $! > child; trap '' TERM; wait; wait"
STUBBORN = "trap '' TERM; touch ready; while :; do sleep 600 & wait $!; done"


class Home:
    def __init__(self, root: Path) -> None:
        self.root, self.processes = root, Processes(root)

    def start(self, argv: list[str], name: str = "one", **env: str) -> Process:
        return self.processes.start(name, argv=argv, env=env, log=self.root / "log")

    def shell(self, script: str) -> Process:
        return self.start(["sh", "-c", f"cd {self.root}; {script}"])

    def write(self, process: Process) -> None:
        artifacts.write_json(self.root / "processes" / f"{process.name}.json", process)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    for name in made.processes.names():
        made.processes.stop(name, grace_seconds=0.1)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Another program that leads a group of its own."""
    child = subprocess.Popen(SLEEP, start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_process_runs_in_a_session_of_its_own_until_it_is_stopped(home: Home) -> None:
    process = home.start(SLEEP)
    assert home.processes.alive("one")
    assert os.getsid(process.pid) == process.pid
    home.processes.stop("one")
    assert not psutil.pid_exists(process.pid)
    assert home.processes.record("one") is None
    assert home.processes.names() == []


def test_a_successor_knows_the_process_and_can_stop_it(home: Home) -> None:
    process = home.start(SLEEP)
    successor = Processes(home.root)
    assert successor.alive("one")
    assert successor.record("one") == process
    successor.stop("one")
    assert not home.processes.alive("one")


def test_a_process_that_was_being_started_when_the_supervisor_died_is_found(home: Home) -> None:
    process = home.start(SLEEP)
    # what is on disk before the process is there
    home.write(dataclasses.replace(process, pid=0, created=0.0))
    successor = Processes(home.root)
    assert successor.alive("one")
    assert successor.record("one") == process


def test_a_process_that_was_never_started_is_not_alive(home: Home) -> None:
    home.write(
        Process(name="one", pid=0, created=0.0, argv=("x",), started_at=0.0, log="", mark="never")
    )
    assert not home.processes.alive("one")
    home.processes.stop("one")
    assert home.processes.names() == []


@pytest.mark.parametrize("mark", ["", "ours"], ids=["without a mark", "with a mark"])
def test_a_stranger_that_was_given_the_pid_is_neither_alive_nor_killed(
    home: Home, stranger: subprocess.Popen[bytes], mark: str
) -> None:
    home.write(
        Process(
            name="one",
            pid=stranger.pid,
            created=1.0,
            argv=("x",),
            started_at=1.0,
            log="",
            mark=mark,
        )
    )
    assert not home.processes.alive("one")
    home.processes.signal("one", signal.SIGKILL)
    home.processes.stop("one", grace_seconds=0.1)
    assert stranger.poll() is None


def test_what_a_process_started_ends_with_it(home: Home) -> None:
    home.shell(FAMILY)
    child = int(until(lambda: (home.root / "child").exists() and (home.root / "child").read_text()))
    home.processes.stop("one", grace_seconds=0.1)
    until(lambda: not _runs(child))


OWN_SESSION = """
import subprocess, sys, time
argv = [sys.executable, "-S", "-m", "http.server", "--bind", "127.0.0.1", sys.argv[1]]
child = subprocess.Popen(argv, start_new_session=True)
open(sys.argv[2], "w").write(str(child.pid))
time.sleep(600)
"""


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_worker_in_a_session_of_its_own_goes_with_its_leader(home: Home, killed: bool) -> None:
    port, file = sockets.free_port(), home.root / "worker"
    process = home.start([sys.executable, "-S", "-c", OWN_SESSION, str(port), str(file)])
    until(lambda: file.exists() and file.read_text() and sockets.taken(port))
    worker = int(file.read_text())
    assert os.getsid(worker) == worker
    if killed:  # its worker still holds the port when it is started again
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not home.processes.alive("one"))
        assert sockets.taken(port)
        successor = Processes(home.root)
        successor.start("one", argv=SLEEP, env={}, log=home.root / "log")
        assert not sockets.taken(port)
        successor.stop("one")
    else:
        home.processes.stop("one", grace_seconds=1.0)
    assert not _runs(worker)
    assert not sockets.taken(port)


def test_what_a_killed_process_left_behind_ends_too(home: Home) -> None:
    process = home.shell(FAMILY)
    child = int(until(lambda: (home.root / "child").exists() and (home.root / "child").read_text()))
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not home.processes.alive("one"))
    assert _runs(child)
    Processes(home.root).stop("one", grace_seconds=0.1)
    until(lambda: not _runs(child))


def test_a_process_that_ignores_the_request_to_end_is_killed_after_the_grace(home: Home) -> None:
    process = home.shell(STUBBORN)
    until(lambda: (home.root / "ready").exists())
    home.processes.stop("one", grace_seconds=0.2)
    assert not _runs(process.pid)


def test_an_ended_process_is_no_zombie_and_tells_its_status(home: Home) -> None:
    process = home.start(["sh", "-c", "exit 3"])
    until(lambda: not home.processes.alive("one"))
    assert home.processes.exit_status("one") == 3
    assert not psutil.pid_exists(process.pid)


def test_a_second_of_the_name_is_refused_while_the_first_runs(home: Home) -> None:
    process = home.start(SLEEP)
    with pytest.raises(
        errors.PlatformError, match="one runs already: stop it before it is started again"
    ):
        home.start(SLEEP)
    assert home.processes.record("one") == process


def test_a_program_that_is_not_there_is_one_sentence_and_leaves_no_record(home: Home) -> None:
    with pytest.raises(
        errors.PlatformError, match=r"one cannot be started: /no/such: No such file or directory"
    ):
        home.start(["/no/such"])
    assert home.processes.names() == []


def test_output_and_environment_are_as_asked_and_a_large_log_is_put_aside_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 3)
    for word in ("first", "second"):
        home.start([sys.executable, "-S", "-c", "import os; print(os.environ['WORD'])"], WORD=word)
        until(lambda: not home.processes.alive("one"))
    assert ((home.root / "log").read_text(), (home.root / "log.1").read_text()) == (
        "second\n",
        "first\n",
    )


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
