"""One run: a revision comes, reaches weight 25, begins to fail, and is taken out of the traffic.
Everything is told from the answers alone."""

import itertools
import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import httpx

from benchmarks.peers import load as loads
from tests.cluster import stack
from tests.cluster.cluster import Cluster

WINDOW = 200  # answers that the realised split is told from: two seconds of them
IN_EFFECT = 0.2  # of 200 answers at weight 25, 50 are the canary's, give or take 12
LATE_SECONDS = 1.0  # arrivals are constant, or nearly
GAP_SECONDS = 6.0  # Prometheus scrapes every 2 s: three in a row were missed
START_SECONDS = 420.0  # for a revision to come to weight 25
# without an answer of the canary: at weight 25 that is impossible, and its pods have ended by then
QUIET_SECONDS = 10.0


class Tool(Protocol):
    """What a benchmark does with a controller."""

    name: str
    host: str
    patience: float  # seconds after the fault in which it has to be out of the traffic

    def begin(self, number: int) -> str:
        """Bring a revision that will fail, and gives the name that its answers carry."""

    def verdict(self) -> tuple[bool, str]:
        """Tell whether the last revision was taken out for its errors, and the controller's own
        sentence."""


@dataclass(frozen=True)
class Run:
    """What was measured; `seconds` is None where the revision still served when patience ended."""

    seconds: float | None
    bad: int
    # of these, answered by another than the new revision, or by none: 0, or something else was
    # wrong
    bad_elsewhere: int
    requests: int  # from the fault to weight 0
    rate: float  # requests a second, as sent
    late: float  # the most seconds that a request was sent late
    # the most seconds between two of Prometheus' scrapes of the gateway, while it mattered
    scrape_gap: float
    machine_load: float  # of one minute, when the fault began
    # taken out for its errors; else, say where the metrics were away, it was another experiment
    by_errors: bool
    verdict: str  # in the controller's words

    @property
    def void(self) -> str:
        """Return why the run was another experiment, told without its outcome where that can be;
        empty where it counts."""
        if self.late > LATE_SECONDS or self.scrape_gap > GAP_SECONDS:
            return (
                f"the machine was too busy: a request was sent {self.late:.1f} s late, "
                f"scrapes were {self.scrape_gap:.1f} s apart"
            )
        if self.seconds is not None and not self.by_errors:
            return f"not taken out for its errors: {self.verdict}"
        return ""

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "void": self.void}


def measure(cluster: Cluster, tool: Tool, number: int) -> Run:
    """Return one run; raises AssertionError where the revision never came to weight 25."""
    with loads.flowing(f"{stack.gateway_url(cluster)}/v2/models/income/infer", tool.host) as load:
        assert load.until(lambda: load.sound(last=WINDOW), seconds=120), (
            f"{tool.name}: the stable revision does not answer: {load.answers[-3:]}"
        )
        revision = tool.begin(number)
        assert load.until(
            lambda: load.share(revision, last=WINDOW) >= IN_EFFECT and load.sound(last=WINDOW),
            seconds=START_SECONDS,
        ), (
            f"{tool.name}: revision {revision} has {load.share(revision, last=WINDOW):.0%} of the answers after "
            f"{START_SECONDS:.0f} s: wanted 25 %"
        )
        fault, machine = load.break_now(), os.getloadavg()[0]
        # Where nobody answers, the new revision does not either: the stable one has to.
        gone = load.until(
            lambda: (
                time.monotonic() - load.last[revision] > QUIET_SECONDS and load.sound(last=WINDOW)
            ),
            seconds=tool.patience + QUIET_SECONDS,
        )
        ended = time.monotonic()
    last, (by_errors, verdict) = max(load.last[revision], fault), tool.verdict()
    after = [answer for answer in load.answers if answer.at >= fault]
    return Run(
        seconds=round(last - fault, 2) if gone else None,
        bad=sum(answer.failed for answer in after),
        bad_elsewhere=sum(answer.failed and answer.revision != revision for answer in after),
        requests=sum(answer.at <= last for answer in after),
        rate=round(len(after) / (ended - fault), 1),
        late=round(load.late, 3),
        scrape_gap=round(_scrape_gap(cluster, seconds=ended - fault), 1),
        machine_load=round(machine, 2),
        by_errors=by_errors,
        verdict=verdict,
    )


def _scrape_gap(cluster: Cluster, *, seconds: float) -> float:
    """Return the longest time without a scrape in the last seconds; all of them where Prometheus
    does not answer."""
    try:
        answer = httpx.get(
            f"{stack.prometheus_url(cluster)}/api/v1/query",
            params={"query": f"envoy_server_uptime[{max(1, round(seconds))}s]"},
            timeout=30,
        )
        samples = answer.json()["data"]["result"][0]["values"]
    except (httpx.HTTPError, LookupError, ValueError):
        return seconds
    times = [float(at) for at, _ in samples]
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=seconds)
