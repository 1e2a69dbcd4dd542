"""The supervisor: looks, decides, makes it true, once an interval.

The one process of the local platform that changes routes.

    python -m fairway.platforms.local.supervisor --home HOME [--port PORT]

All it knows is in the state store, the event store and the records of its processes, so it may be
killed at any point: the servers and the gateway go on without it, and the next supervisor adopts
them and takes the same look again.
"""

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from fairway import artifacts, clocks, errors
from fairway.config import sections
from fairway.control import calls, observe
from fairway.monitoring.eventstore import places
from fairway.platforms.local import envoy, processes, servers, services, state, trainer
from fairway.platforms.local.home import OTHERS, Addresses, Home, write_addresses
from fairway.platforms.local.xds import parts, routing
from fairway.rollout import states, strategy
from fairway.rollout.seen import Command, Seen

log = logging.getLogger("fairway.supervisor")

INTERVAL_SECONDS = 1.0  # between two looks while nothing is deployed


class Supervisor:
    """Everything of one home directory; `tick` is one look at every deployment."""

    def __init__(
        self, home: Home, *, port: int = 0, source: clocks.Source = clocks.MACHINE
    ) -> None:
        home.make()
        self.source = source
        self.home = home
        self.state = state.Store(home.state)
        self.processes = processes.Processes(home.root)
        self.gateway = envoy.Envoy(home.root, self.processes)
        self.port = port
        self.services = services.Services(home, self.processes)
        self.services.end_earlier()
        self.events = places.opened(home.events)  # brings it up to date
        self.servers = servers.Servers(home, self.processes, collector=self.services.collector_url)
        self.trainer = trainer.Trainer(home, self.processes, state=self.state, events=self.events)
        self.tallies: dict[str, observe.Tallies] = {}
        self.elapsed: dict[str, clocks.Elapsed] = {}
        self.hooks = calls.Calls()
        self.interval = INTERVAL_SECONDS

    def start(self) -> None:
        """Start or adopt the gateway, the collector and the monitor, and write down where they
        listen."""
        self.gateway.start(port=self.port)
        self.services.start()
        self.servers.collector = self.services.collector_url
        write_addresses(
            self.home,
            Addresses(
                pid=os.getpid(),
                gateway=self.gateway.url,
                collector=self.services.collector_url,
                monitor=self.services.monitor_url,
            ),
        )

    def tick(self) -> None:
        """Take one look at every deployment, and make true what was decided."""
        with outlived("the gateway"):
            self.keep_gateway()
        with outlived("collector and monitor"):
            self.services.keep()
        self.interval = self.shortest_interval()
        for deployment in self.state.deployments():
            with outlived(deployment.name):
                self.advance(deployment)
        self._apply(self.state.deployments(), now=self.source.monotonic())
        for deployment in self.state.deployments() if self.trainer.due() else ():
            with outlived(deployment.name):
                self.trainer.look(deployment, now=self.source.wall())

    def shortest_interval(self) -> float:
        """Return the seconds between two looks: all deployments are looked at as often as the one
        that asks for the most looks.
        """
        return min(map(_interval, self.state.deployments()), default=INTERVAL_SECONDS)

    def rest(self, *, seconds: float, wake: int) -> None:
        """Wait until the next look is due.

        Not while the gateway is gone, nor once the descriptor `wake` can be read.
        """
        self.processes.wait(envoy.NAME, seconds=seconds, wake=wake)

    def keep_gateway(self) -> None:
        """Start the gateway again where it is gone."""
        if not self.gateway.alive():
            log.warning("the gateway is gone; starting it again on its port")
            self.gateway.start(port=self.port)

    def stop(self) -> None:
        """Stop everything: the gateway first, so that nobody is sent to a server that leaves. What
        fails is logged, and the rest is stopped.
        """
        for stop in (
            self.gateway.stop,
            self.servers.stop_all,
            self.services.stop,
            self.trainer.stop,
        ):
            with errors.logged(log):
                stop()
        self.home.addresses.unlink(missing_ok=True)
        with errors.logged(log):  # needs the store, which may be damaged
            self.trainer.note(now=self.source.wall())

    def advance(self, deployment: state.Deployment) -> None:
        """Take one look at one deployment, and store what was decided."""
        current, policy = deployment.state, deployment.policy
        elapsed = self.elapsed.setdefault(deployment.name, clocks.Elapsed(self.source))
        now = elapsed.now(clock=current.clock, looked=current.looked, interval=self.interval)
        command = self.state.next_command(deployment.name)
        seen = observe.observe(
            self._seen(deployment, command=command[1] if command else None, now=now),
            current,
            of=self._watched(deployment),
        )
        after = strategy.advance(current, seen, strategy=policy)
        policy = states.in_force(current, after.state, begun=policy, newest=deployment.newest)
        self.state.save(
            deployment.name,
            state=after.state,
            policy=policy,
            events=after.events,
            answered=(command[0], after.reply) if command and after.reply else None,
        )
        for event in after.events:
            log.info("%s %s %s: %s", deployment.name, event.revision, event.type, event.message)

    def _seen(self, deployment: state.Deployment, *, command: Command | None, now: float) -> Seen:
        """Return what servers, gateway, hooks and whoever gave a command say of the deployment now."""
        current, policy = deployment.state, deployment.policy
        route = deployment.route
        ready, broken = self.servers.health(states.wanted(current))
        whose = calls.DeploymentName(deployment.config["namespace"], deployment.name)
        return Seen(
            now=now,
            wall=self.source.wall(),
            desired=deployment.desired,
            ready=ready,
            broken=broken,
            sample=self.gateway.sample(route) if route else None,
            offline_disagreement=self._offline_disagreement(current),
            command=command,
            answers=self.hooks.answers(whose, current.calls, known=policy.hooks, now=now),
        )

    def _watched(self, deployment: state.Deployment) -> observe.Observed:
        return observe.Observed(
            deployment=deployment.name,
            policy=deployment.policy,
            store=self.events.within(deployment.config["namespace"]),
            tallies=self.tallies.setdefault(deployment.name, observe.Tallies()),
            timeout_seconds=sections.parse_duration(
                deployment.config["serving"]["timeout"]
            ).total_seconds(),
        )

    def _offline_disagreement(self, current: states.State) -> float | None:
        candidate = self.state.revision(current.candidate) if current.candidate else None
        stable = self.state.revision(current.stable) if current.stable else None
        if candidate is None:
            return None
        return observe.offline_disagreement(
            candidate.facts, stable=stable.digest if stable else None
        )

    def _apply(self, deployments: list[state.Deployment], *, now: float) -> None:
        """Make the stored states true: servers first, then routes, then the end of servers that
        nothing needs any more."""
        wanted = self._wanted(deployments)
        self.servers.keep(wanted, now=now)
        endpoints = self.servers.endpoints()
        routes = {
            deployment.name: route
            for deployment in deployments
            if (route := deployment.route) is not None
        }
        startable = {
            name: route
            for name, route in routes.items()
            if {route.stable, route.candidate or route.stable} <= endpoints.keys()
        }
        self.gateway.apply(
            startable,
            endpoints=endpoints,
            thresholds=_thresholds(deployments),
            limits={deployment.name: _limits(deployment) for deployment in deployments},
        )
        self.servers.retire(keep=wanted, now=now)
        self.services.watch(
            {
                deployment.name: _watched(deployment, wanted)
                for deployment in deployments
                if deployment.state.stable in wanted
            }
        )

    def _wanted(self, deployments: list[state.Deployment]) -> dict[str, state.LocalRevision]:
        """Return the revisions that must run, by name."""
        names = [name for deployment in deployments for name in states.wanted(deployment.state)]
        found = {name: self.state.revision(name) for name in names}
        return {name: revision for name, revision in found.items() if revision is not None}


@contextlib.contextmanager
def outlived(what: str) -> Iterator[None]:
    """Log what ends the look inside the block: it is taken again, and whatever else there is has
    its look."""
    try:
        yield
    except errors.Temporary as error:  # a locked store, a full disk: nothing was stored
        log.warning("%s: %s", what, error)
    except errors.FairwayError as error:
        log.error("%s: %s", what, error)
    except Exception:  # a fault of ours in one look must not end what watches all the others
        log.exception("%s: a look failed; it is taken again", what)


def _limits(deployment: state.Deployment) -> routing.Limits:
    """Return what the deployment's servers bear."""
    try:
        serving = deployment.serving
    except errors.FairwayError:
        return routing.Limits()
    return routing.Limits(
        seconds=serving.timeout.total_seconds(),
        body_bytes=serving.max_body_mebibytes * parts.MEBIBYTE,
    )


def _thresholds(deployments: list[state.Deployment]) -> tuple[str, ...]:
    """Return the thresholds at which the gateway counts an answer as slow, each once."""
    found = (
        sections.format_duration(guard.timed)
        for deployment in deployments
        if deployment.fault is None
        for guard in deployment.policy.guards
        if guard.timed is not None
    )
    return tuple(dict.fromkeys(found))


def _interval(deployment: state.Deployment) -> float:
    """Return the seconds between two looks that the deployment asks for."""
    return sections.parse_duration(deployment.config["platform"]["scrapeInterval"]).total_seconds()


def _watched(
    deployment: state.Deployment, wanted: Mapping[str, state.LocalRevision]
) -> dict[str, object]:
    """Return what the monitor needs to know of a deployment."""
    stable = wanted[deployment.state.stable or ""]
    return {
        "namespace": deployment.config["namespace"],
        "revision": stable.revision,
        "package": stable.package,
        "monitoring": deployment.config["monitoring"],
    }


def run(home: Home, *, port: int, source: clocks.Source = clocks.MACHINE) -> None:
    """Run until SIGTERM or SIGINT, then stop everything that was started."""
    stopping, wake = False, os.pipe()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        os.write(wake[1], b"s")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    supervisor = Supervisor(home, port=port, source=source)
    supervisor.start()
    while not stopping:
        began = time.monotonic()
        with outlived("all deployments"):
            supervisor.tick()
        supervisor.rest(
            seconds=max(0.05, supervisor.interval - (time.monotonic() - began)), wake=wake[0]
        )
    supervisor.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    os.umask(OTHERS)  # of all that it starts, too
    home = Home(arguments.home)
    home.make()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with home.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"fairway: a supervisor runs in {home.root} already: see `fairway status`")
        try:
            run(home, port=arguments.port)
        except errors.FairwayError as error:
            artifacts.write_json(
                home.root / "supervisor-error.json",
                {"error": str(error), "exitStatus": error.exit_status},
            )
            sys.exit(f"fairway: {error}")


if __name__ == "__main__":
    main()
