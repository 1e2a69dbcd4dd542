"""How the platform stands, whatever was decided: asked of the processes themselves, so that no
supervisor is needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairway.platforms.local import client, envoy, processes, servers, state
from fairway.platforms.local.home import Addresses, Home
from fairway.platforms.local.servers import Silence


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the platform of one home stands."""

    addresses: Addresses | None  # of a platform whose supervisor runs
    gateway: str | None  # where the gateway answers, None where it does not
    trouble: str | None  # what is not as it should be with the platform, and the next step
    silent: Mapping[str, Silence]  # deployment that should serve and does not -> why

    @property
    def first(self) -> str | None:
        """Return the first thing that is not as it should be."""
        return self.trouble or next(
            (f"{name} does not serve: {silence.why}" for name, silence in self.silent.items()), None
        )


def read(home: Home, deployments: Iterable[state.Deployment]) -> Standing:
    """Return how the platform stands now."""
    table = processes.Processes(home.root)
    gateway = envoy.Envoy(home.root, table)
    addresses, answers = client.running(home), gateway.answers()
    url = gateway.url if answers else None
    trouble = _trouble(home, addresses=addresses, gateway=url)
    if addresses is None and trouble is None:  # stopped, as was asked
        return Standing(addresses=None, gateway=None, trouble=None, silent={})
    found = {
        deployment.name: _silence(home, table, deployment, answers=answers)
        for deployment in deployments
    }
    silent = {name: silence for name, silence in found.items() if silence is not None}
    return Standing(addresses=addresses, gateway=url, trouble=trouble, silent=silent)


def _trouble(home: Home, *, addresses: Addresses | None, gateway: str | None) -> str | None:
    if addresses is not None:
        return (
            None
            if gateway
            else (
                f"the gateway does not answer on {addresses.gateway}; it is started again: see "
                f"{home.logs / 'envoy.log'}"
            )
        )
    if gateway is not None:
        return (
            f"the supervisor of {home.root} does not run: the gateway answers on {gateway}, but nothing moves and what "
            "dies stays dead: `fairway up`"
        )
    if home.addresses.exists():
        return f"the platform of {home.root} ended, and not by `fairway down`: `fairway up` goes on where it was"
    return None


def _silence(
    home: Home, table: processes.Processes, deployment: state.Deployment, *, answers: bool
) -> Silence | None:
    """Return why nobody gets an answer of a deployment that has a revision in service."""
    stable = deployment.state.stable
    if stable is None:
        return None
    return (
        servers.silence(home, table, stable) if answers else Silence("the gateway does not answer")
    )
