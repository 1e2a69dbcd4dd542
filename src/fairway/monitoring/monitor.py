"""The monitor: compares windows of what is served with the reference in the package, and opens
tickets.

    python -m fairway.monitoring.monitor --home .fairway --port 0

One long-lived process, because the detectors take some ten seconds to import. What to watch is in
HOME/monitor.json, replaced by rename: `{"deployments": {name: {"namespace", "revision", "package",
"monitoring"}}}`. A window's verdict, the ticket that follows from it and the place to go on from
are one transaction of the event store: a kill loses nothing and repeats nothing.
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic

from fairway import artifacts, clocks, errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors, exporter, windows
from fairway.monitoring.detectors import base
from fairway.monitoring.eventstore import archive, places
from fairway.packaging import golden, manifest

log = logging.getLogger("fairway.monitoring.monitor")
IDLE_SECONDS = 5.0  # between looks while nothing is to be watched
SHORTEST_SECONDS = 0.2
PRUNE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One deployment's stable revision, and how it is watched."""

    deployment: str
    namespace: str
    revision: str
    package: Path
    section: sections.Monitoring


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What a revision's windows are held against."""

    reference: dict[str, Any]
    detector: base.Detector


class Monitor:
    """Looks at every deployment; all that must survive it is in the store."""

    def __init__(
        self, home: Path, *, events: archive.EventStore, series: exporter.Exporter
    ) -> None:
        self._file, self._events, self.series = home / "monitor.json", events, series
        self._read: tuple[int, int] | None = None
        self._watched: tuple[Watched, ...] = ()
        self._subjects: dict[Watched, Watching | None] = {}
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
        for engine in {watched.section.engine for watched in self._watched} or {
            sections.Monitoring().engine
        }:
            detectors.load(
                engine, p_value=sections.Monitoring().p_value, schema=Schema(target="", features=())
            )

    def look(self, *, now: float) -> int:
        """Test every window that is full, and gives their number."""
        self._reread()
        tested = 0
        for watched in self._watched:
            try:
                tested += self._check(watched, now=now)
            except Exception as error:  # one deployment's: whatever it is, the others are looked at
                self.series.failed(
                    error, namespace=watched.namespace, deployment=watched.deployment
                )
                log.warning(
                    "%s: %s",
                    watched.deployment,
                    error,
                    exc_info=not isinstance(error, errors.FairwayError),
                )
        self._prune()
        self.series.looked.set(now)
        return tested

    def _check(self, watched: Watched, *, now: float) -> bool:
        subject = self._subject(watched)
        if subject is None:
            return False
        after, streak = self._resume(watched, now=now)
        self._show_ticket(watched, streak)
        try:
            return self._test(watched, subject, after=after, streak=streak, now=now)
        except errors.Temporary:
            raise  # the store is busy: the same window is tested at the next look
        # one window's: clients choose what is in it, and the next one is tested
        except Exception as error:
            self._pass(watched, error, after=after, streak=streak, now=now)
            raise

    def _test(
        self,
        watched: Watched,
        subject: Watching,
        *,
        after: int,
        streak: windows.Streak,
        now: float,
    ) -> bool:
        newest = self._events.history.newest(
            watched.deployment, namespace=watched.namespace, revision=watched.revision, after=after
        )
        with contextlib.closing(newest):
            window = windows.assemble(
                newest, reference=subject.reference, rows=watched.section.window
            )
        if window is None:
            return False
        if window.rows < windows.MIN_ROWS:
            raise errors.DataError(
                f"the inputs of {window.unreadable} of {window.requests} requests do not fit the reference of "
                f"{watched.package}:"
                " wanted the features of its schema; the window was skipped"
            )
        result = subject.detector.check(subject.reference, window.arrays)
        self._conclude(watched, window, result, streak=streak, now=now)
        return True

    def _pass(
        self, watched: Watched, error: Exception, *, after: int, streak: windows.Streak, now: float
    ) -> None:
        """Go on after the window, which has no verdict, and tells a person."""
        with self._events.writing():
            last = self._events.history.last(
                watched.deployment,
                namespace=watched.namespace,
                revision=watched.revision,
                after=after,
            )
            self._keep(watched, after=last, streak=streak)
            self._events.conclusions.open_alert(
                name=windows.FAILED,
                severity="ticket",
                deployment=watched.deployment,
                at=now,
                summary=windows.failure(error, watched.deployment),
                description=windows.FAILED_DESCRIPTION,
            )
        self.series.passed_over(
            namespace=watched.namespace, deployment=watched.deployment, revision=watched.revision
        )

    def _conclude(
        self,
        watched: Watched,
        window: windows.Window,
        result: base.DriftResult,
        *,
        streak: windows.Streak,
        now: float,
    ) -> None:
        decision = windows.decide(
            streak,
            drifted=result.drifted,
            began=window.first_at,
            consecutive=watched.section.consecutive,
        )
        verdict = {
            "deployment": watched.deployment,
            "revision": watched.revision,
            "at": now,
            "lastSeq": window.last_seq,
            "inARow": decision.streak.drifted,
            **windows.record(window, result),
        }
        with self._events.writing():
            self._events.conclusions.add_drift(verdict)
            self._keep(watched, after=window.last_seq, streak=decision.streak)
            self._events.conclusions.resolve_alert(
                name=windows.FAILED,
                deployment=watched.deployment,
                at=now,
                resolution="a window was tested again",
            )
            if decision.action in ("open", "refresh"):
                self._ticket(watched, window, result, streak=decision.streak, now=now)
            elif decision.action == "resolve":
                self._events.conclusions.resolve_alert(
                    name=windows.ALERT,
                    deployment=watched.deployment,
                    at=now,
                    resolution=windows.resolution(decision.streak),
                )
        self.series.window(
            result,
            namespace=watched.namespace,
            deployment=watched.deployment,
            revision=watched.revision,
            rows=window.rows,
            unreadable=window.unreadable,
            at=now,
        )
        self._show_ticket(watched, decision.streak)
        log.info(
            "%s %s: window of %d rows, p %.3g, %s",
            watched.deployment,
            watched.revision,
            window.rows,
            result.p_value,
            f"drifted, {decision.streak.drifted} in a row"
            if result.drifted
            else "like the reference",
        )

    def _show_ticket(self, watched: Watched, streak: windows.Streak) -> None:
        self.series.ticket(
            namespace=watched.namespace,
            deployment=watched.deployment,
            revision=watched.revision,
            is_open=streak.open,
        )

    def _ticket(
        self,
        watched: Watched,
        window: windows.Window,
        result: base.DriftResult,
        *,
        streak: windows.Streak,
        now: float,
    ) -> None:
        since = datetime.fromtimestamp(streak.since or now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._events.conclusions.open_alert(
            name=windows.ALERT,
            severity="ticket",
            deployment=watched.deployment,
            at=now,
            summary=windows.summary(result, deployment=watched.deployment, streak=streak),
            description=windows.description(
                result, revision=watched.revision, rows=window.rows, since=since
            ),
        )

    def _resume(self, watched: Watched, *, now: float) -> tuple[int, windows.Streak]:
        """Return where the last window ended and the streak so far; a new revision starts anew and
        closes the old one's ticket."""
        kept = self._events.conclusions.mark(_key(watched))
        if kept is None:
            return 0, windows.Streak()
        if kept["revision"] == watched.revision:
            return int(kept["after"]), windows.Streak(**kept["streak"])
        with self._events.writing():
            self._keep(watched, after=kept["after"], streak=windows.Streak())
            self._events.conclusions.resolve_alert(
                name=windows.ALERT,
                deployment=watched.deployment,
                at=now,
                resolution=f"revision {watched.revision} is in service now, held against a reference of its own",
            )
        return int(kept["after"]), windows.Streak()

    def _keep(self, watched: Watched, *, after: int, streak: windows.Streak) -> None:
        self._events.conclusions.set_mark(
            _key(watched), {"revision": watched.revision, "after": after, "streak": asdict(streak)}
        )

    def _subject(self, watched: Watched) -> Watching | None:
        """Return the reference and its detector, read once for each revision; None where the
        package has no reference."""
        if watched not in self._subjects:
            self._subjects[watched] = self._load(watched)
            self.series.watch(
                namespace=watched.namespace,
                deployment=watched.deployment,
                revision=watched.revision,
            )
        return self._subjects[watched]

    def _load(self, watched: Watched) -> Watching | None:
        package = manifest.load(watched.package)
        if "reference.npz" not in package.files:
            log.warning(
                "%s: package %s has no reference.npz, its drift is not watched",
                watched.deployment,
                watched.package,
            )
            return None
        section = watched.section
        detector = detectors.load(section.engine, p_value=section.p_value, schema=package.schema)
        return Watching(
            reference=_shaped(
                golden.read_reference(watched.package / "reference.npz"), features=package.features
            ),
            detector=detector,
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
        self._watched = tuple(
            found for name, item in deployments.items() for found in self._told(name, item)
        )
        self._subjects = {
            watched: subject
            for watched, subject in self._subjects.items()
            if watched in self._watched
        }

    def _told(self, name: str, item: Any) -> list[Watched]:
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
            return [watched for watched in self._watched if watched.deployment == name]

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


def parse(name: str, item: Any) -> Watched:
    """Return what is to be watched of a deployment; raises ConfigError where it is described
    wrongly."""
    try:
        return Watched(
            deployment=name,
            namespace=item["namespace"],
            revision=item["revision"],
            package=Path(item["package"]),
            section=sections.Monitoring.model_validate(item.get("monitoring", {})),
        )
    except (KeyError, TypeError, AttributeError, pydantic.ValidationError) as error:
        raise errors.ConfigError(
            f"wanted namespace, revision, package and monitoring ({error})"
        ) from error


def _shaped(arrays: dict[str, Any], *, features: Sequence[Feature]) -> dict[str, Any]:
    """Return the arrays with images in their shape, so that a finding names the place in the
    picture."""
    shapes = {feature.name: feature.shape for feature in features if feature.shape}
    return {
        name: values.reshape(len(values), *shapes[name]) if name in shapes else values
        for name, values in arrays.items()
    }


def run(home: Path, *, port: int) -> None:
    """Look until SIGTERM or SIGINT; what it was doing then is finished."""
    series = exporter.Exporter()
    bound = series.serve(port=port)
    print(f"monitor answers on http://127.0.0.1:{bound}/metrics", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    events = places.opened(home / "events.db")
    monitor = Monitor(home, events=events, series=series)
    monitor.warm()  # before there is a window to wait for it; a signal ends it at once
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    log.info("ready")
    while not stopping.is_set():
        began = time.monotonic()
        monitor.look(now=time.time())
        stopping.wait(max(SHORTEST_SECONDS, monitor.interval_seconds - (time.monotonic() - began)))
    events.close()


def _key(watched: Watched) -> str:
    return f"monitor/{watched.deployment}"


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
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the numerical libraries are imported
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stdout,
    )
    try:
        run(arguments.home, port=arguments.port)
    except errors.FairwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
