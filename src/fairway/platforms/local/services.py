"""The platform's own helpers: the collector of events and the monitor, kept running."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from fairway import __version__, artifacts
from fairway.platforms.local import sockets
from fairway.platforms.local.home import Home
from fairway.platforms.local.processes import Processes

PAUSE_SECONDS = 5.0  # between two starts of a helper that does not stay up


class Services:
    """Collector and monitor of one home directory.

    Their ports stay the same over restarts, since others were told them.
    """

    def __init__(self, home: Home, processes: Processes) -> None:
        self._home, self._processes = home, processes
        self._watched: Any = None
        self._started: dict[str, float] = {}
        file = home.root / "services.json"
        if not file.exists():
            artifacts.write_json(
                file, {"collector": sockets.free_port(), "monitor": sockets.free_port()}
            )
        self._ports: dict[str, int] = artifacts.read_json(file)

    @property
    def collector_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['collector']}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['monitor']}"

    def end_earlier(self) -> None:
        """Stop what another version of fairway started: it cannot write a store that was brought up
        to date."""
        for name, argv in self._commands().items():
            found = self._processes.record(name)
            if found is not None and (found.argv, found.version) != (argv, __version__):
                self._processes.stop(name)

    def start(self) -> None:
        self.keep()

    def keep(self) -> None:
        """Start what does not run."""
        for name, argv in self._commands().items():
            if (
                not self._processes.alive(name)
                and time.monotonic() - self._started.get(name, -PAUSE_SECONDS) >= PAUSE_SECONDS
            ):
                self._started[name] = time.monotonic()
                self._processes.start(
                    name,
                    argv=argv,
                    env={"OMP_NUM_THREADS": "1"},
                    log=self._home.logs / f"{name}.log",
                )

    def watch(self, deployments: Mapping[str, Mapping[str, object]]) -> None:
        """Tell the monitor which revisions of which deployments to watch."""
        if deployments != self._watched:
            artifacts.write_json(self._home.monitor, {"deployments": dict(deployments)})
            self._watched = dict(deployments)

    def stop(self) -> None:
        for name in self._commands():
            self._processes.stop(name)

    def _commands(self) -> dict[str, tuple[str, ...]]:
        """Return what is started under each name."""
        python, token = (sys.executable, "-m"), ("--token-file", str(self._home.token))
        store, listens = ("--store", str(self._home.events)), ("--host", "127.0.0.1")
        collector, monitor = (
            ("--port", str(self._ports[name])) for name in ("collector", "monitor")
        )
        home = ("--home", str(self._home.root))
        return {
            "collector": (
                *python,
                "fairway.monitoring.eventstore.collector",
                *store,
                *listens,
                *collector,
                *token,
            ),
            "monitor": (
                *python,
                "fairway.monitoring.monitor",
                *home,
                *monitor,
                "--alerts-token",
                str(self._home.token),
            ),
        }
