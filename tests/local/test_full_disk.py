"""A disk that is full: one sentence, a non-zero exit, nothing half-written.

On a real, tiny tmpfs in a namespace of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import support

ADULT = Path(__file__).parents[2].parent / "shared" / "data" / "adult.data"
OWN_MOUNTS = (
    ["unshare", "--mount"]
    if os.geteuid() == 0
    else ["unshare", "--user", "--map-root-user", "--mount"]
)

if subprocess.run([*OWN_MOUNTS, "true"], capture_output=True).returncode != 0:
    pytest.skip(
        "this machine lets nobody mount a small disk: it has no namespaces of mounts",
        allow_module_level=True,
    )


def on_small_disk(
    commands: str, *, where: Path, kibibytes: int
) -> subprocess.CompletedProcess[str]:
    """Run the commands with `where` mounted as a disk of this size; lists what they left on it."""
    where.mkdir()
    script = (
        f"mount -t tmpfs -o size={kibibytes}k none {where} && cd {where} && {{ {commands}; }}; status=$?; find . -type "
        "f | sort; exit $status"
    )
    return subprocess.run(
        [*OWN_MOUNTS, "bash", "-c", script], capture_output=True, text=True, timeout=200
    )


def test_prepare_on_a_full_disk_says_so_and_leaves_no_dataset(tmp_path: Path) -> None:
    config = f"name: income\\ndata: {{source: csv, path: {ADULT}, target: income}}\\n"
    done = on_small_disk(
        f"printf '{config}' > fairway.yaml && {sys.executable} -m fairway prepare",
        where=tmp_path / "disk",
        kibibytes=200,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("fairway: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no space left" in done.stderr.lower()
    assert done.stdout.splitlines() == ["./fairway.yaml"]


def test_a_state_store_on_a_full_disk_keeps_what_it_had_and_takes_more_when_there_is_room(
    tmp_path: Path,
) -> None:
    program = """
import sys, os
from pathlib import Path
from fairway import errors
from fairway.platforms.local import state
from fairway.rollout.states import Event
store = state.Store(Path("state.db"))
store.tell("income", Event(1.0, "Started", "the first"))
filler = open("filler", "wb", buffering=0)
try:
    while True:
        filler.write(b"x" * 4096)
except OSError:
    pass
told = 0
try:
    while True:
        store.tell("income", Event(2.0, "Step", "y" * 2000)); told += 1
except errors.StoreBusy as error:
    print("busy:", error)
kept = store.story("income")
assert len(kept) == 1 + told, (len(kept), told)
filler.close(); os.unlink("filler")
store.tell("income", Event(3.0, "Promoted", "the last"))
assert [e.type for _, e in store.story("income")][-1] == "Promoted"
store.close()
"""
    (tmp_path / "program.py").write_text(program)
    done = on_small_disk(
        f"{sys.executable} {tmp_path / 'program.py'}", where=tmp_path / "disk", kibibytes=600
    )
    assert done.returncode == 0, done.stderr
    assert "free the disk" in done.stdout


def test_a_server_starts_and_answers_while_the_disk_of_its_home_is_full(tmp_path: Path) -> None:
    """Its metrics are mapped files: on a full disk the first touch of one would end it (SIGBUS), at
    each start."""
    program = """
import os, sys
from pathlib import Path
from fairway.platforms.local.home import Home
from tests.serving import support
outside, model = map(Path, sys.argv[1:])
home = Home(Path("home"))
home.make()
try:
    with open("filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
except OSError:
    pass
mapped = {"BENTOML_HOME": str(home.mapped("r"))}
server = support.serve(outside, model=model, collector="http://127.0.0.1:9", spool=home.spool("r"), extra=mapped)
try:
    server.wait_ready()
    print("fairway_serving" in server.metrics())
finally:
    server.stop()
    home.unmap()
"""
    (tmp_path / "program.py").write_text(program)
    model = support.packaged(tmp_path, name="income").path
    command = (
        f"PYTHONPATH={Path(__file__).parents[2]} {sys.executable} {tmp_path / 'program.py'} {tmp_path / 'server'} "
        f"{model}"
    )
    done = on_small_disk(command, where=tmp_path / "disk", kibibytes=2000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("True\n")
    assert not list(Path("/dev/shm").glob("fairway-*/r/bentoml"))
