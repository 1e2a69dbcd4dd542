"""What the command line and the demo ask of the local platform: up, down, deploy, wait, send."""

import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fairway import artifacts, errors
from fairway.config import sections
from fairway.packaging import lineage, manifest, package
from fairway.platforms.local import home as homes
from fairway.platforms.local import processes, state, trainer
from fairway.platforms.local.home import Addresses, Home
from fairway.rollout import states
from fairway.rollout.states import Phase

log = logging.getLogger("fairway.platform")

UP_SECONDS, DOWN_SECONDS, POLL_SECONDS = 60.0, 30.0, 0.1
SETTLED = (Phase.STABLE, Phase.ROLLED_BACK, Phase.PAUSED)


def running(home: Home) -> Addresses | None:
    """Return the addresses of the platform where its supervisor runs."""
    try:
        addresses = homes.read_addresses(home)
    except errors.UsageError:
        return None
    try:
        command = psutil.Process(addresses.pid).cmdline()
    except psutil.Error:
        return None
    return addresses if "fairway.platforms.local.supervisor" in command else None


def need(home: Home) -> Addresses:
    """Return the addresses of the running platform; raises UsageError where none runs."""
    addresses = running(home)
    if addresses is None:
        died = "the supervisor does not run" if home.addresses.exists() else "no platform runs"
        raise errors.UsageError(f"{died} in {home.root}: start it with `fairway up`")
    return addresses


def up(home: Home, *, port: int = 0) -> tuple[Addresses, bool]:
    """Start the platform, or find it running; return its addresses and whether it was started now."""
    found = running(home)
    if found is not None:
        if port and not found.gateway.endswith(f":{port}"):
            raise errors.UsageError(
                f"the platform in {home.root} listens on {found.gateway} already: `fairway down` first, to have it on "
                f"port {port}"
            )
        return found, False
    home.make()
    fault = home.root / "supervisor-error.json"
    fault.unlink(missing_ok=True)
    home.addresses.unlink(missing_ok=True)
    argv = [
        sys.executable,
        "-m",
        "fairway.platforms.local.supervisor",
        "--home",
        str(home.root),
        "--port",
        str(port),
    ]
    child = processes.Child(argv, env=os.environ, log=home.logs / "supervisor.log")
    deadline = time.monotonic() + UP_SECONDS
    while (found := running(home)) is None:
        if child.poll() is not None:
            why = (
                artifacts.read_json(fault)["error"]
                if fault.exists()
                else f"see {home.logs / 'supervisor.log'}"
            )
            raise errors.PlatformError(f"the platform did not start: {why}")
        if time.monotonic() > deadline:
            raise errors.PlatformError(
                f"the platform was not up after {UP_SECONDS:.0f} s: see {home.logs / 'supervisor.log'}"
            )
        time.sleep(POLL_SECONDS)
    return found, True


def down(home: Home) -> list[str]:
    """Stop everything of the platform, also what a killed supervisor left; return the names of what
    ran."""
    table = processes.Processes(home.root)
    names = [name for name in table.names() if table.alive(name)]
    found = running(home)
    if found is not None:
        names.append("supervisor")
        supervisor = psutil.Process(found.pid)
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(timeout=DOWN_SECONDS)
        except psutil.TimeoutExpired:
            supervisor.kill()
            supervisor.wait(timeout=5)
    for name in table.names():  # of a supervisor that was killed
        table.stop(name)
    home.unmap()
    home.addresses.unlink(missing_ok=True)
    if home.state.exists():
        with errors.logged(log), contextlib.closing(state.Store(home.state)) as known:
            trainer.note_cut_off(home, known, now=time.time())
    return sorted(names)


def deploy(
    home: Home,
    folder: Path,
    *,
    config: sections.Config,
    note: str = "",
    origin: lineage.Provenance = lineage.UNKNOWN,
    now: float,
) -> tuple[state.LocalRevision, bool]:
    """Ask for a package to be served; return its revision, and whether that changes anything.

    The package is verified, and copied below the home where it lies elsewhere. The platform need
    not run yet.
    """
    made = manifest.load(folder)
    if made.name != config.name:
        raise errors.UsageError(
            f"{folder} is a package for {made.name!r}, the configuration is for {config.name!r}: use the same name"
        )
    config.serving.events.need(feature.name for feature in made.features)
    place = home.package(made.digest)
    if not place.exists():
        home.make()
        temporary = home.packages / f".{place.name}.copying-{os.getpid()}"
        shutil.copytree(folder, temporary)
        manifest.load(temporary)
        temporary.rename(place)
    revision = state.LocalRevision(
        revision=package.revision(made.digest, serving=config.serving),
        deployment=config.name,
        package=str(place),
        digest=made.digest,
        facts=made.facts(),
        config=config.model_dump(mode="json", by_alias=True),
        note=note,
        created_at=now,
        lineage=lineage.of(made, came=origin),
    )
    store = state.Store(home.state)
    try:
        before = store.deployment(config.name)
        if before is not None and before.config["namespace"] != config.namespace:
            raise errors.UsageError(
                f"{config.name} is deployed in namespace {before.config['namespace']!r}, the configuration says "
                f"{config.namespace!r}: "
                "a deployment stays in its namespace; use another name"
            )
        return revision, store.deploy(revision, now=now)
    finally:
        store.close()


def deployment(home: Home, name: str) -> state.Deployment:
    """Return the deployment of that name; raises UsageError where there is none."""
    with contextlib.closing(state.Store(home.state)) as known:
        found = known.deployment(name)
    if found is None:
        raise errors.UsageError(
            f"there is no deployment {name!r} in {home.root}: `fairway deploy PACKAGE` makes one"
        )
    return found


def follow(
    home: Home,
    name: str,
    *,
    revision: str | None = None,
    timeout_seconds: float | None = None,
    tell: Callable[[states.Event], None] | None = None,
    after: int | None = None,
) -> state.Deployment:
    """Wait until the rollout of `revision` (of whatever is asked for) has ended or asks for a
    person.

    Return the deployment as it stands then.

    `tell` is called with each event as it comes, from the beginning of this rollout or the event
    number `after` on. Raises Unavailable after the timeout.
    """
    store = state.Store(home.state)
    deadline = time.monotonic() + timeout_seconds if timeout_seconds is not None else None
    seen = after if after is not None else _begun(store, name, revision)
    try:
        while True:
            deployment = store.deployment(name)
            if deployment is None:
                raise errors.UsageError(
                    f"there is no deployment {name!r} in {home.root}: see `fairway status`"
                )
            for number, event in store.story(name, after=seen):
                seen = number
                if tell is not None:
                    tell(event)
            if settled(deployment, revision or deployment.desired):
                return deployment
            if (fault := deployment.fault) is not None:
                raise errors.PlatformError(fault)
            if deadline is not None and time.monotonic() > deadline:
                raise errors.Unavailable(
                    f"the rollout of {name} has not ended: {deployment.state.phase}: {deployment.state.reason}"
                )
            if running(home) is None:
                raise errors.Unavailable(
                    f"the supervisor of {home.root} does not run, so nothing moves: `fairway up` goes on where it was"
                )
            time.sleep(POLL_SECONDS)
    finally:
        store.close()


def settled(deployment: state.Deployment, revision: str) -> bool:
    """Say whether the revision serves, was rejected, or waits for a person."""
    current = deployment.state
    if current.phase is Phase.PAUSED:
        return True
    return current.phase in SETTLED and (current.stable == revision or revision in current.rejected)


def _begun(store: state.Store, name: str, revision: str | None) -> int:
    """Return the event before the one with which this rollout began."""
    started = [
        number
        for number, event in store.story(name)
        if event.type == "Started" and revision in (None, event.revision)
    ]
    return (
        started[-1] - 1 if started else max((number for number, _ in store.story(name)), default=0)
    )
