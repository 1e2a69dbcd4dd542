"""Where the local platform keeps its things, and the addresses it serves on."""

import hashlib
import os
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from fairway import artifacts, errors

FOLDER_MODE, FILE_MODE, OTHERS = 0o700, 0o600, 0o077  # the owner alone
MEMORY = Path("/dev/shm")  # noqa: S108 - the folder that is made there is looked at before it is used


@dataclass(frozen=True)
class Home:
    """The home directory of one local platform; everything it writes lies below."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    @property
    def events(self) -> Path:
        return self.root / "events.db"

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def monitor(self) -> Path:
        return self.root / "monitor.json"

    @property
    def addresses(self) -> Path:
        return self.root / "addresses.json"

    @property
    def token(self) -> Path:
        """The file with the token that the collector wants: whoever can read it may write and read
        evidence."""
        return self.root / "token"

    @property
    def lock(self) -> Path:
        return self.root / "supervisor.lock"

    def server(self, revision: str) -> Path:
        return self.root / "servers" / revision

    def spool(self, revision: str) -> Path:
        return self.root / "spool" / revision

    def mapped(self, revision: str) -> Path:
        """Return where a server keeps the files that it maps: on a full disk they would end it
        (SIGBUS), so in memory where the machine has a folder there.
        """
        return (_in_memory(self.root) or self.root / "servers") / revision / "bentoml"

    def unmap(self, revision: str = "") -> None:
        """Remove what a server has left there, by default all of them."""
        place = _in_memory(self.root)
        if place is not None:
            shutil.rmtree(place / revision, ignore_errors=True)

    def package(self, digest: str) -> Path:
        return self.packages / digest.removeprefix("sha256:")

    def make(self) -> None:
        """Make the directory, for its owner alone; raises UsageError where it cannot be written."""
        try:
            self.root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._close_to_others()
            for folder in (self.packages, self.runs, self.logs):
                folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.write_bytes(b"fairway")
            probe.unlink()
        except OSError as error:
            raise errors.UsageError(
                f"the home directory {self.root} cannot be written ({error.strerror}): choose another with --home"
            ) from error

    def _close_to_others(self) -> None:
        """Take the rights of group and others away, also from what an earlier version made.

        A directory that holds something else is left as it is.

        The stores hold what the model's users sent.
        """
        ours = self.packages.is_dir() or not any(self.root.iterdir())
        if ours and self.root.stat().st_mode & OTHERS:
            self.root.chmod(FOLDER_MODE)
        for store in (self.state, self.events):  # SQLite's further files take their mode from these
            if store.exists() and store.stat().st_mode & OTHERS:
                store.chmod(FILE_MODE)


def _in_memory(root: Path) -> Path | None:
    """Return the home's folder in memory, that nobody else may enter.

    None where there is no such place, or somebody else has taken it.
    """
    place = (
        MEMORY
        / f"fairway-{os.geteuid()}-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]}"
    )
    try:
        place.mkdir(mode=FOLDER_MODE, exist_ok=True)
        found = place.lstat()
    except OSError:
        return None
    ours = (
        stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS
    )
    return place if ours else None


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the platform listens; loopback only."""

    pid: int  # the supervisor
    gateway: str  # predictions go here
    collector: str  # events and labels go here
    monitor: str  # the monitor's /metrics


def write_addresses(home: Home, addresses: Addresses) -> None:
    artifacts.write_json(home.addresses, asdict(addresses))


def read_addresses(home: Home) -> Addresses:
    """Return the addresses of a platform that was started; raises UsageError where none was."""
    try:
        return Addresses(**artifacts.read_json(home.addresses))
    except FileNotFoundError as error:
        raise errors.UsageError(
            f"nothing runs in {home.root}: start the platform with `fairway up`"
        ) from error
