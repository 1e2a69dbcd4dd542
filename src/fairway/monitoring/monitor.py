"""The monitor: holds windows of what is served against what is usual, and opens tickets.

    python -m fairway.monitoring.monitor --home .fairway --port 0

One long-lived process, because the detectors take some ten seconds to import. What to watch is in
HOME/monitor.json, replaced by rename: `{"deployments": {name: {"namespace", "revision", "package",
"monitoring"}}}`. The budget of false tickets is shared evenly among the deployments.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from fairway import artifacts, clocks, errors
from fairway.config import sections
from fairway.model.schema import Schema
from fairway.monitoring import detectors, exporter, listener, looks, receiver, references
from fairway.monitoring.eventstore import archive, places
from fairway.monitoring.keeper import P_VALUE, Keeper
from fairway.monitoring.watched import Described, Watched
from fairway.packaging import manifest

log = logging.getLogger("fairway.monitoring.monitor")
IDLE_SECONDS = 5.0  # between looks while nothing is to be watched
SHORTEST_SECONDS = 0.2
PRUNE_SECONDS = 600.0


class Monitor:
    """Looks at every deployment; all that must survive it is in the store."""

    def __init__(
        self, home: Path, *, events: archive.EventStore, series: exporter.Exporter
    ) -> None:
        self._file, self._events, self.series = home / "monitor.json", events, series
        self._read: tuple[int, int] | None = None
        self._watched: dict[Watched, Path] = {}  # with the package of each
        self._rounds = looks.Rounds(make=self._keeper, series=series)
        self._pruned = -PRUNE_SECONDS
        self._clock: clocks.Steady | None = None  # once it has read when the newest event came

    @property
    def interval_seconds(self) -> float:
        shortest = min(
            (watched.section.interval.total_seconds() for watched in self._watched),
            default=IDLE_SECONDS,
        )
        return max(shortest, SHORTEST_SECONDS)

    def warm(self) -> None:
        """Import the engines that are asked for, the usual one where none is yet."""
        self._reread()
        named = {
            name for one in self._watched for name in (one.section.engine, *one.section.beside)
        }
        for name in named or {sections.Monitoring().engine}:
            detectors.compared_by(name, p_value=P_VALUE, schema=Schema(target="", features=()))

    def look(self, *, now: float) -> int:
        """Test every window that is full, and gives their number."""
        self._reread()
        tested = self._rounds.look(tuple(self._watched), fleet=len(self._watched), now=now)
        self._prune()
        self.series.looked.set(now)
        return tested

    def ask(self, found: receiver.Firing, *, now: float) -> str:
        """Note that an alert asks for a run, and return what becomes of it; the same alert, however
        often it comes, asks once."""
        named = {(one.namespace, one.deployment) for one in self._watched}
        if (found.namespace, found.deployment) not in named:
            return "it is none that this monitor watches"
        mark = receiver.mark(found.deployment)
        with self._events.writing():
            known = self._events.conclusions.mark(mark)
            self._events.conclusions.set_mark(mark, receiver.noted(known, found.alert, now=now))
        return (
            "a run is started if retraining.alerts names it, where none is in progress and the last is long "
            "enough ago"
        )

    def _keeper(self, watched: Watched) -> Keeper:
        package = manifest.load(self._watched[watched])
        trained = references.trained(package.path, files=package.files, features=package.features)
        return Keeper(
            watched,
            package=Described(schema=package.schema, trained=trained),
            events=self._events,
            shelf=references.local(self._file.parent, watched.deployment),
            series=self.series,
        )

    def _reread(self) -> None:
        """Read monitor.json where it was replaced; keeps to the old one while the new one cannot be
        read."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return
        if (status.st_mtime_ns, status.st_ino) == self._read:
            return
        self._read = (status.st_mtime_ns, status.st_ino)
        try:
            deployments = described(artifacts.read_json(self._file))
        except (errors.FairwayError, OSError, ValueError) as error:
            log.error(
                "%s cannot be read, what was watched before is watched on: %s", self._file, error
            )
            return
        self._watched = {
            watched: package
            for name, item in deployments.items()
            for watched, package in self._told(name, item)
        }

    def _told(self, name: str, item: Any) -> list[tuple[Watched, Path]]:
        """Return what is to be watched of a deployment: where it is described wrongly, what was
        watched before."""
        try:
            return [parse(name, item)]
        except errors.ConfigError as error:
            log.error(
                "%s: %s cannot be read, what was watched before is watched on: %s",
                self._file,
                name,
                error,
            )
            return [one for one in self._watched.items() if one[0].deployment == name]

    def _prune(self) -> None:
        """Let events go that are older than any deployment wants to keep them."""
        at = time.monotonic()
        if at - self._pruned < PRUNE_SECONDS or not self._watched:
            return
        self._pruned = at
        longest = max(watched.section.retention.total_seconds() for watched in self._watched)
        try:
            self._clock = self._clock or clocks.Steady(
                clocks.MACHINE, start=self._events.newest_at()
            )
            removed = self._events.prune(self._clock.now() - longest)
        except errors.FairwayError as error:
            log.warning("old events stay for now: %s", error)
        else:
            log.info("%d events older than %.0f s were removed", removed, longest)


def described(data: Any) -> Mapping[str, Any]:
    """Return what is said of each deployment by its name; raises ConfigError where nothing is."""
    deployments = data.get("deployments") if isinstance(data, Mapping) else None
    if not isinstance(deployments, Mapping):
        raise errors.ConfigError('wanted an object with "deployments", an object by name')
    return deployments


def parse(name: str, item: Any) -> tuple[Watched, Path]:
    """Return what is to be watched of a deployment, and its package; raises ConfigError where it is
    described wrongly."""
    try:
        watched = Watched(
            deployment=name,
            namespace=item["namespace"],
            revision=item["revision"],
            section=sections.Monitoring.model_validate(item.get("monitoring", {})),
        )
        return watched, Path(item["package"])
    except (KeyError, TypeError, AttributeError, pydantic.ValidationError) as error:
        raise errors.ConfigError(
            f"wanted namespace, revision, package and monitoring ({error})"
        ) from error


def run(home: Path, *, port: int, alerts_token: Path | None = None) -> None:
    """Look until SIGTERM or SIGINT; what it was doing then is finished."""
    series = exporter.Exporter()
    address = listener.Listener(
        host="127.0.0.1", port=port, registry=series.registry, token=alerts_token
    )
    print(f"monitor answers on http://127.0.0.1:{address.port}/metrics", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    events = places.opened(home / "events.db")
    monitor = Monitor(home, events=events, series=series)
    monitor.warm()  # before there is a window to wait for it; a signal ends it at once
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    address.watch(alive=lambda: True, ask=lambda one: monitor.ask(one, now=time.time()))
    log.info("ready")
    while not stopping.is_set():
        began = time.monotonic()
        monitor.look(now=time.time())
        stopping.wait(max(SHORTEST_SECONDS, monitor.interval_seconds - (time.monotonic() - began)))
    events.close()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fairway.monitoring.monitor", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--home", type=Path, required=True, help="the platform's home directory")
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="the port for Prometheus, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--alerts-token",
        type=Path,
        help="the file with the token that Alertmanager shows at /v1/alerts; without one no alert is taken",
    )
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the numerical libraries are imported
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stdout,
    )
    try:
        run(arguments.home, port=arguments.port, alerts_token=arguments.alerts_token)
    except errors.FairwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
