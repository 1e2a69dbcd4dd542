"""The operator's process: kopf watches, a Lease says who acts, threads take looks, and ends it
where leadership is lost.

kopf only tells what changed (`on.event`: its other handlers would put finalizers on resources,
which then could not be deleted after an uninstall). What is to be done is in `reconcile`.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import kopf

from fairway import budget, errors
from fairway.config import resource
from fairway.operator import endpoint, session
from fairway.operator.queue import Key, Queue
from fairway.operator.reconcile import RETRY_SECONDS, Reconciler
from fairway.platforms.kubernetes import api, lease

log = logging.getLogger("fairway.operator")

LEASE = "fairway-operator"
WORKERS = 8  # looks at once: a look waits for the network most of its time
SHARE = WORKERS // 2  # of them for one namespace at most
LOOK_SECONDS = 60.0  # that all answers of a look may take together
DEPLOYMENT_LABEL = f"{resource.GROUP}/deployment"
BEAT_SECONDS = 120.0  # without a beat, or for a look, after which it hangs
PULSE_SECONDS = 5.0  # between two beats
KINDS = {"deployments": "Deployment", "httproutes": "HTTPRoute"}


class Loop:
    """Queue and workers of one operator process."""

    def __init__(self, reconciler: Reconciler, *, health: endpoint.Endpoint) -> None:
        self.queue = Queue(clock=time.monotonic, share=SHARE)
        self._reconciler, self._health = reconciler, health
        self._seen: dict[Key, tuple[Any, ...]] = {}
        self._failed: dict[Key, type[Exception]] = {}  # by what its last look failed
        self._began: dict[int, float] = {}  # worker -> when the look that it is in began
        self._beaten = time.monotonic()
        self._leads: Any = lambda: False
        self._workers: list[threading.Thread] = []

    def start(self, *, leads: Any) -> None:
        """Let the workers begin; each looks at nothing while `leads()` is False."""
        self._leads = leads
        self._workers = [
            threading.Thread(target=self._work, args=(number,), name=f"look-{number}", daemon=True)
            for number in range(WORKERS)
        ]
        for worker in self._workers:
            worker.start()

    def finish(self) -> None:
        """Let the looks that have begun end, and begin no other."""
        self.queue.close()
        for worker in self._workers:
            worker.join(timeout=lease.RENEW_DEADLINE)

    def beat(self) -> None:
        """Take notice that the watching goes on."""
        self._beaten = time.monotonic()

    def alive(self) -> bool:
        """Say whether changes are heard of and some worker is free to look: one look that hangs is
        one resource's."""
        oldest = time.monotonic() - BEAT_SECONDS
        return (
            self._beaten > oldest
            and sum(began <= oldest for began in list(self._began.values())) < WORKERS
        )

    def resource_event(self, event: kopf.RawEvent, **_: Any) -> None:
        """Ask for a look where something that a person writes has changed; our own status writes
        are no news."""
        found = event["object"]
        metadata = found["metadata"]
        key = metadata["namespace"], metadata["name"]
        news = (
            metadata["uid"],
            metadata.get("generation"),
            metadata.get("annotations"),
            metadata.get("deletionTimestamp"),
            event["type"] == "DELETED",
        )
        if self._seen.get(key) != news:
            self._seen[key] = news
            self.queue.add(key)
        if event["type"] == "DELETED":
            self._seen.pop(key, None)
            self._failed.pop(key, None)

    def owned_event(self, event: kopf.RawEvent, resource: kopf.Resource, **_: Any) -> None:
        """Ask for a look at the deployment that the object belongs to."""
        metadata = event["object"]["metadata"]
        name = metadata.get("labels", {}).get(DEPLOYMENT_LABEL)
        if name is None:
            return
        generation = None if event["type"] == "DELETED" else int(str(metadata.get("generation", 0)))
        self._reconciler.changed(
            metadata["namespace"],
            name,
            kind=KINDS[resource.plural],
            object_name=metadata["name"],
            generation=generation,
        )
        self.queue.add(
            (metadata["namespace"], name), delay=0.2
        )  # a Deployment that starts says so several times in a moment

    def _work(self, number: int) -> None:
        while (key := self.queue.take()) is not None:
            self._began[number] = time.monotonic()
            try:
                # a Lease that is late may be renewed yet
                delay = self._look(key) if self._leads() else RETRY_SECONDS
                if delay is not None:
                    self.queue.add(key, delay=delay)
            finally:
                del self._began[number]
                self.queue.done(key)

    def _look(self, key: Key) -> float | None:
        namespace, name = key
        began = time.monotonic()
        try:
            with budget.within(LOOK_SECONDS):
                return self._reconciler.reconcile(namespace, name, now=time.time())
        except api.Conflict:
            self._health.count("conflict")
            return 0.1
        except errors.Temporary as error:
            self._health.count("unavailable")
            log.warning("%s/%s: %s", namespace, name, error)
            return RETRY_SECONDS
        except errors.FairwayError as error:
            self._health.count("refused")
            log.error("%s/%s: %s", namespace, name, error)
            return 10 * RETRY_SECONDS
        except Exception as error:
            self._health.count("failed")
            news, self._failed[key] = self._failed.get(key) is not type(error), type(error)
            log.error(
                "%s/%s: a look failed (%s); it is taken again",
                namespace,
                name,
                type(error).__name__,
                exc_info=news,
            )  # one traceback is enough
            return 10 * RETRY_SECONDS
        finally:
            self._health.observe(time.monotonic() - began)


def run(
    server: api.Api,
    reconciler: Reconciler,
    *,
    namespace: str,
    namespaces: Collection[str],
    health: endpoint.Endpoint,
) -> bool:
    """Run until SIGTERM (True) or until leadership is lost (False): then the process must end, for
    another may act already.
    """
    loop = Loop(reconciler, health=health)
    held = lease.Lease(
        server,
        namespace=namespace,
        name=LEASE,
        me=f"{socket.gethostname()}-{os.getpid()}",
        clock=time.monotonic,
    )
    health.watch(alive=loop.alive, leads=held.leads, waiting=lambda: len(loop.queue))
    stop = threading.Event()
    try:
        return asyncio.run(_watch(loop, held, stop=stop, namespaces=namespaces, ready=health.ready))
    finally:
        stop.set()
        loop.queue.close()


async def _watch(
    loop: Loop,
    held: lease.Lease,
    *,
    stop: threading.Event,
    namespaces: Collection[str],
    ready: Callable[[], None],
) -> bool:
    """Watch until SIGTERM (True) or until the Lease is lost (False); give the Lease back where it
    is still held."""
    over, lost = asyncio.Event(), threading.Event()
    running = asyncio.get_running_loop()

    def lead() -> None:
        try:
            held.hold(stop=stop, acquired=lambda: loop.start(leads=held.leads))
        finally:
            if not stop.is_set():
                lost.set()
                running.call_soon_threadsafe(over.set)

    thread = threading.Thread(target=lead, name="lease", daemon=True)
    thread.start()
    pulse = asyncio.create_task(_pulse(loop))
    ready()
    scope: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
    identity: Any = held.me  # kopf would ask for the user's name, which the container's has none
    await kopf.operator(
        registry=_registry(loop),
        settings=_settings(),
        identity=identity,
        standalone=True,
        stop_flag=over,
        **scope,
    )
    pulse.cancel()
    # before the Lease is given back: nobody else may act while we do
    await asyncio.to_thread(loop.finish)
    stop.set()
    await asyncio.to_thread(thread.join, lease.RENEW_DEADLINE)
    return not lost.is_set()


async def _pulse(loop: Loop) -> None:
    while True:
        loop.beat()
        await asyncio.sleep(PULSE_SECONDS)


def _registry(loop: Loop) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    owned = {DEPLOYMENT_LABEL: kopf.PRESENT}
    kopf.on.login(registry=registry)(session.login)
    kopf.on.event(resource.GROUP, resource.VERSION, resource.PLURAL, registry=registry)(
        loop.resource_event
    )
    for group, version, plural in (
        ("apps", "v1", "deployments"),
        ("gateway.networking.k8s.io", "v1", "httproutes"),
    ):
        kopf.on.event(group, version, plural, labels=owned, registry=registry)(loop.owned_event)
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # our own events carry names that make them unique
    return settings
