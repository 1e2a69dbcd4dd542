"""What the gateway is asked to do with a deployment's requests, and what it counts."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Route:
    """How the requests of one deployment are divided; weights are percent."""

    deployment: str
    stable: str
    candidate: str | None
    weight: int  # percent of units that the candidate serves
    mirror: int  # percent of requests copied to the candidate, whose answers are dropped
    salt: str  # mixed into the hash of the unit, so that each rollout draws its canaries anew
    # opaque; differs whenever anything above differs; the gateway reports the one in effect
    version: str


@dataclass(frozen=True, kw_only=True)
class ArmSample:
    """Counters of one arm since the gateway's process began: completed requests, failed ones (5xx,
    or broken off by the server), timed requests and the slow of them, and those that no server
    answered."""

    requests: int
    errors: int
    timed: int = 0  # requests in the latency histogram, which may lag `requests`
    # threshold as the configuration writes it -> slower requests
    slow: Mapping[str, int] = field(default_factory=dict)
    # of the failed: broken off or timed out, so that no server has an event of them
    unanswered: int = 0
    active: int | None = None  # under way at this instant, no counter; None where nobody says

    def minus(self, before: "ArmSample") -> "ArmSample | None":
        """Return the increments since `before`, or None where a counter went back.

        A request that was broken off counts as failed before its retry completes: errors are at
        most the requests.
        """
        slow = {key: count - before.slow.get(key, 0) for key, count in self.slow.items()}
        requests, errors, timed = (
            self.requests - before.requests,
            self.errors - before.errors,
            self.timed - before.timed,
        )
        unanswered = self.unanswered - before.unanswered
        if min(requests, errors, timed, unanswered, *slow.values(), 0) < 0 or any(
            count > timed for count in slow.values()
        ):
            return None
        return ArmSample(
            requests=requests,
            errors=min(errors, requests),
            timed=timed,
            slow=slow,
            unanswered=unanswered,
            active=self.active,
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One scrape of one gateway: both arms at one instant."""

    at: float
    epoch: str  # changes when the gateway's process was replaced: its counters began anew
    route_version: str  # the route in effect
    stable: ArmSample | None
    candidate: ArmSample | None


def route(
    *, deployment: str, stable: str, candidate: str | None, weight: int, mirror: int
) -> Route:
    """Return the route, salted by the rollout and named by its content."""
    salt = f"{deployment}/{candidate or stable}"
    content = f"{deployment}|{stable}|{candidate}|{weight}|{mirror}|{salt}"
    version = "r" + hashlib.sha256(content.encode()).hexdigest()[:11]
    return Route(
        deployment=deployment,
        stable=stable,
        candidate=candidate,
        weight=weight,
        mirror=mirror,
        salt=salt,
        version=version,
    )
