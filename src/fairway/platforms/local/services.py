"""The platform's own helpers: the collector of events and the monitor, kept running."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from fairway import artifacts
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
            artifacts.write_json(file, {"collector": sockets.free_port(), "monitor": sockets.free_port()})
        self._ports: dict[str, int] = artifacts.read_json(file)

    @property
    def collector_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['collector']}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['monitor']}"

    def start(self) -> None:
        self.keep()

    def keep(self) -> None:
        """Start what does not run."""
        for name, module, arguments in self._commands():
            if (
                not self._processes.alive(name)
                and time.monotonic() - self._started.get(name, -PAUSE_SECONDS) >= PAUSE_SECONDS
            ):
                self._started[name] = time.monotonic()
                self._processes.start(
                    name,
                    argv=[sys.executable, "-m", module, *arguments],
                    env={"OMP_NUM_THREADS": "1"},
                    log=self._home.logs / f"{name}.log",
                )

    def watch(self, deployments: Mapping[str, Mapping[str, object]]) -> None:
        """Tell the monitor which revisions of which deployments to watch."""
        if deployments != self._watched:
            artifacts.write_json(self._home.monitor, {"deployments": dict(deployments)})
            self._watched = dict(deployments)

    def stop(self) -> None:
        for name, _, _ in self._commands():
            self._processes.stop(name)

    def _commands(self) -> list[tuple[str, str, list[str]]]:
        return [
            (
                "collector",
                "fairway.monitoring.eventstore.collector",
                [
                    "--store",
                    str(self._home.events),
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self._ports["collector"]),
                    "--token-file",
                    str(self._home.token),
                ],
            ),
            (
                "monitor",
                "fairway.monitoring.monitor",
                ["--home", str(self._home.root), "--port", str(self._ports["monitor"])],
            ),
        ]
