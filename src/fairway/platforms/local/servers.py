"""The model servers: one for each revision that must run, started again with growing pauses when it
dies."""

import http.client
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fairway import artifacts, errors
from fairway.packaging import manifest
from fairway.platforms.local import sockets, state
from fairway.platforms.local.home import Home
from fairway.platforms.local.processes import Processes
from fairway.serving import command

log = logging.getLogger("fairway.supervisor")

PREFIX = "server-"
PROBE_SECONDS = 1.0
# after the route has left it: requests in flight end, its last events are sent
RETIRE_SECONDS = 5.0
BACKOFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
NEVER_READY_EXITS = 2  # a server that ended this often before it was ever ready will not do better
CRASHES, CRASH_SECONDS = 5, 120.0  # more crashes than this in that time: it does not stay up


@dataclass
class ServerProcess:
    """What is known of one server beside its process's record."""

    port: int
    ready_once: bool = False
    exits: list[float] = field(
        default_factory=list
    )  # when it was found to have ended, by the machine's clock, as all times here
    told: bool = False  # whether the end of the process of now is among them
    retire_at: float | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Silence:
    """Why there is no answer; `lasting` where that does not pass by itself."""

    why: str
    lasting: bool = False


class Servers:
    """The servers of one home directory."""

    def __init__(self, home: Home, processes: Processes, *, collector: str) -> None:
        self._home, self._processes, self.collector = home, processes, collector
        self._servers: dict[str, ServerProcess] = {}
        for name in processes.names():  # those of a supervisor before this one
            if name.startswith(PREFIX):
                revision = name.removeprefix(PREFIX)
                self._servers[revision] = ServerProcess(
                    port=artifacts.read_json(port_file(home, revision))["port"]
                )

    def keep(self, wanted: Mapping[str, state.LocalRevision], *, now: float) -> None:
        """Make the wanted servers run."""
        for name, revision in wanted.items():
            server = self._servers.get(name)
            if server is None or (
                server.fault is not None and server.retire_at is not None
            ):  # given up, and asked for again
                self._processes.stop(PREFIX + name)
                server = self._servers[name] = ServerProcess(port=self._new_port(name))
            server.retire_at = None
            if (
                server.fault is None
                and not self._processes.alive(PREFIX + name)
                and self._may_start(name, server, now=now)
            ):
                with errors.logged(log):  # what ends this start does not end the others
                    self._start(revision, server)

    def retire(self, *, keep: Iterable[str], now: float) -> None:
        """Stop the servers that nothing needs, a while after the last route has left them."""
        for name in [name for name in self._servers if name not in set(keep)]:
            server = self._servers[name]
            server.retire_at = server.retire_at or now + RETIRE_SECONDS
            if now >= server.retire_at:
                self._processes.stop(PREFIX + name)
                self._home.unmap(name)
                del self._servers[name]

    def stop_all(self) -> None:
        for name in list(self._servers):
            self._processes.stop(PREFIX + name)
        self._home.unmap()
        self._servers.clear()

    def endpoints(self) -> dict[str, list[tuple[str, int]]]:
        """Return where each server listens, or will."""
        return {name: [("127.0.0.1", server.port)] for name, server in self._servers.items()}

    def health(self, wanted: Iterable[str]) -> tuple[frozenset[str], dict[str, str]]:
        """Return the revisions that answer, and those that will not, with the reason."""
        ready, broken = set(), {}
        for name in wanted:
            server = self._servers.get(name)
            if server is None:
                continue
            if server.fault is not None:
                broken[name] = server.fault
            elif self._processes.alive(PREFIX + name) and _ready(server.port):
                ready.add(name)
                server.ready_once = True
        return frozenset(ready), broken

    def _start(self, revision: state.LocalRevision, server: ServerProcess) -> None:
        name = revision.revision
        folder = self._home.server(name)
        config = revision.config
        try:
            manifest.load(Path(revision.package))
            serving = revision.serving
        # it was changed, or written by another version
        except (errors.PackageError, errors.PlatformError) as error:
            self._give_up(name, server, str(error))
            return
        fault_file(self._home, name).unlink(missing_ok=True)
        environment = command.environment(
            package=Path(revision.package),
            deployment=revision.deployment,
            namespace=config["namespace"],
            revision=name,
            collector=self.collector,
            token=self._home.token,
            spool=self._home.spool(name),
            serving=serving,
            home=self._home.mapped(name),
        )
        folder.mkdir(parents=True, exist_ok=True)
        server.told = False
        self._processes.start(
            PREFIX + name,
            argv=command.argv(server.port),
            env=environment,
            log=self._home.logs / f"server-{name}.log",
        )

    def _may_start(self, name: str, server: ServerProcess, *, now: float) -> bool:
        """Say whether a dead server may be started now; count its end, and give it up where it does
        not stay up."""
        if self._processes.record(PREFIX + name) is None:
            return True
        if not server.told:
            server.exits.append(now)
            server.told = True
        if not server.ready_once and len(server.exits) >= NEVER_READY_EXITS:
            self._give_up(
                name, server, f"its server ended before it was ever ready: {self._last_words(name)}"
            )
        elif len([at for at in server.exits if at > now - CRASH_SECONDS]) > CRASHES:
            self._give_up(
                name,
                server,
                f"its server ended {CRASHES + 1} times in {CRASH_SECONDS:.0f} s: {self._last_words(name)}",
            )
        if server.fault is not None:
            return False
        pause = BACKOFF_SECONDS[min(len(server.exits), len(BACKOFF_SECONDS)) - 1]
        return now >= server.exits[-1] + pause

    def _give_up(self, name: str, server: ServerProcess, fault: str) -> None:
        """Start it no more, and leave the reason for `fairway status`."""
        server.fault = fault
        artifacts.write_json(fault_file(self._home, name), {"fault": fault})

    def _last_words(self, name: str) -> str:
        """Return the last line that the server wrote, preferring a sentence of ours."""
        try:
            lines = (
                (self._home.logs / f"server-{name}.log")
                .read_text(encoding="utf-8", errors="replace")
                .splitlines()[-50:]
            )
        except OSError:
            return "it left no log"
        said = [line for line in lines if line.startswith("fairway")] or [
            line for line in lines if line.strip()
        ]
        return said[-1].strip()[:400] if said else "it said nothing"

    def _new_port(self, revision: str) -> int:
        port = sockets.free_port()
        artifacts.write_json(port_file(self._home, revision), {"port": port})
        return port


def silence(home: Home, processes: Processes, revision: str) -> Silence | None:
    """Return why the revision's server does not answer, asked of itself; None where it does."""
    known, fault, log = (
        port_file(home, revision),
        fault_file(home, revision),
        home.logs / f"server-{revision}.log",
    )
    if processes.alive(PREFIX + revision):
        ready = known.exists() and _ready(artifacts.read_json(known)["port"])
        return (
            None
            if ready
            else Silence(f"the server of revision {revision} is starting, or hangs: see {log}")
        )
    if not fault.exists():
        return Silence(f"the server of revision {revision} does not run: see {log}")
    said = artifacts.read_json(fault)["fault"]
    return Silence(
        (
            f"revision {revision} is not started any more: {said}; mend that, then `fairway down` and `fairway up`, or "
            "deploy another package"
        ),
        lasting=True,
    )


def port_file(home: Home, revision: str) -> Path:
    return home.server(revision) / "port.json"


def fault_file(home: Home, revision: str) -> Path:
    """Return the file with the reason why the revision's server is not started any more."""
    return home.server(revision) / "fault.json"


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
