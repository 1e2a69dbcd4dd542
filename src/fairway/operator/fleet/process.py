"""The monitor's process: a Lease says who watches the shard, one thread looks, and the process ends
where leadership is lost."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from fairway import errors
from fairway.model.schema import Schema
from fairway.monitoring import detectors, exporter, listener, receiver
from fairway.monitoring.eventstore import wire
from fairway.monitoring.keeper import P_VALUE
from fairway.operator.fleet import shards, watching
from fairway.platforms.kubernetes import api, lease
from fairway.retraining import shown

log = logging.getLogger("fairway.fleet")

ANSWER_SECONDS = 15.0  # that the collector may take: a window may be megabytes
HANGING_SECONDS = 600.0  # without the end of a look, after which the process hangs


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """What a monitor is told."""

    shard: shards.Shard
    engine: str
    interval_seconds: float
    namespace: str  # where the Lease lies
    namespaces: Collection[str]  # that are watched; all of them where none is named


class Pulse:
    """When the last look ended, by a clock that nobody sets."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def beat(self) -> None:
        self._at = time.monotonic()

    def alive(self) -> bool:
        return time.monotonic() - self._at < HANGING_SECONDS


def run(
    server: api.Api,
    line: wire.Wire,
    settings: MonitorSettings,
    *,
    address: listener.Listener,
    series: exporter.Exporter,
) -> bool:
    """Watch until SIGTERM (True) or until leadership is lost (False): then the process must end, for
    another may watch already."""
    fleet = watching.Fleet(
        server,
        line,
        shard=settings.shard,
        engine=settings.engine,
        namespaces=settings.namespaces,
        series=series,
        losses=shown.Shown(series.registry),
    )
    held = lease.Lease(
        server,
        namespace=settings.namespace,
        name=settings.shard.lease,
        me=f"{socket.gethostname()}-{os.getpid()}",
        clock=time.monotonic,
    )
    series.lead(settings.shard.number, of=settings.shard.of, leads=held.leads)
    stop, leads, over = threading.Event(), threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop.set()
        leads.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    thread = threading.Thread(
        target=_hold, args=(held, stop, leads, over), name="lease", daemon=True
    )
    # the engines take seconds to import: before the Lease, for nobody watches meanwhile
    detectors.load(settings.engine, p_value=P_VALUE, schema=Schema(target="", features=()))
    thread.start()
    pulse = Pulse()

    def ask(found: receiver.Firing) -> str | None:
        return (
            None
            if not fleet.has_looked
            else fleet.ask(found.namespace, found.deployment, alert=found.alert, now=time.time())
        )

    address.watch(alive=pulse.alive, ask=ask)
    while not leads.wait(1.0):
        pulse.beat()
    while not stop.is_set() and not over.is_set():
        began = time.monotonic()
        if held.leads():
            _look(fleet, held, pulse)
        pulse.beat()
        stop.wait(max(0.2, settings.interval_seconds - (time.monotonic() - began)))
    stop.set()
    thread.join(lease.RENEW_DEADLINE)
    return not over.is_set()


def _hold(
    held: lease.Lease, stop: threading.Event, leads: threading.Event, over: threading.Event
) -> None:
    """Hold the Lease until the end; where it is lost, say that it is over."""
    try:
        held.hold(stop=stop, acquired=leads.set)
    finally:
        if not stop.is_set():
            over.set()
        leads.set()


def _look(fleet: watching.Fleet, held: lease.Lease, pulse: Pulse) -> None:
    try:
        fleet.look(now=time.time(), leads=held.leads, beat=pulse.beat)
    except errors.Temporary as error:
        log.warning("a look is taken again: %s", error)
    except Exception:  # of all deployments: the next look is taken all the same
        log.exception("a look failed")
