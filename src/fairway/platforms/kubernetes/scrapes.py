"""The gateway's counters through Prometheus: both arms of one proxy at one instant.

Envoy is scraped whole, so all series of a proxy with one timestamp are one moment of it, and each
proxy adds both its arms or neither: the arms are compared as of the same time, however the proxies'
scrapes lie. Raw samples are taken (a range selector gives them), never `increase()`, which invents
requests.

What real proxies (Envoy Gateway 1.9, Envoy 1.40) do with these counters, and what follows:

* A counter has no series before it first counts; a cluster has none before its first request. Missing errors are none;
  an arm without completed requests is missing.
* There are no retries, so a request that its server breaks off is answered 503 and counts as a 5xx;
  `upstream_cx_destroy_remote_with_active_rq` counts it a second time, and an error counted twice is evidence counted
  twice. With retries it would have to be added. It is one of the requests that no server answered, as a timed-out one
  is: of those alone no server has an event.
* What a circuit breaker refuses is a 503 to these counters and says nothing of the revision: it is taken off the
  errors, as what servers refuse for load (429) never was one.
* A timed-out request (504) is a 5xx too, and is in no bucket of the histogram: it is added there, slow by every
  threshold.
* Histograms and the uptime are brought up to date every 5 seconds only: latencies lag the requests, and a start is told
  late by up to 6 seconds.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway import errors
from fairway.config import sections
from fairway.rollout import traffic
from fairway.rollout.states import TOTAL

# raw samples that are read: several scrapes of the slowest usual interval, a minute
WINDOW_SECONDS = 120
STALE_SCRAPES = 3  # scrapes missed after which a proxy is gone
SLACK_SECONDS = 2.0  # between a scrape, its storage and our clock, which tells whole seconds
RESTART_SECONDS = 10.0  # starts this close are one
BUCKETS = (
    0.5,
    1,
    5,
    10,
    25,
    50,
    100,
    250,
    500,
    1000,
    2500,
    5000,
    10000,
    30000,
    60000,
    300000,
    600000,
    1800000,
    3600000,
)  # Envoy's own, ms
COMPLETED, ERRORS, LATE, TIMES, BROKEN, ACTIVE = (
    f"envoy_cluster_upstream_{name}"
    for name in (
        "rq_completed",
        "rq_xx",
        "rq_timeout",
        "rq_time_bucket",
        "cx_destroy_remote_with_active_rq",
        "rq_active",
    )
)
UPTIME, MEMBERS = "envoy_server_uptime", "envoy_cluster_membership_healthy"
SHED = tuple(f"envoy_cluster_upstream_rq_{name}_overflow" for name in ("pending", "active"))

Series = Mapping[str, Any]
Values = Mapping[float, float]  # time of the scrape -> value
Readings = dict[tuple[str, str], Values]  # series, arm ("" for the proxy's own) -> values


def query(
    *, namespace: str, deployment: str, bounds: Iterable[float], gateway: Mapping[str, str]
) -> str:
    """Return one query for all series of the gateway's own scrape: answers to two could come from
    two scrapes."""
    scraped = "".join(f",{name}={json.dumps(value)}" for name, value in sorted(gateway.items()))
    cluster = literal(f"httproute/{namespace}/{deployment}/rule/0/backend/")
    le = "|".join(
        [
            "",
            "[+]Inf",
            *(
                literal(text)
                for bound in bounds
                for text in sorted({f"{bound:g}", f"{bound:.15g}", f"{bound:.1f}"})
            ),
        ]
    )
    names = "|".join((COMPLETED, ERRORS, LATE, TIMES, BROKEN, ACTIVE, *SHED, UPTIME))
    return (
        f'{{__name__=~"{names}",envoy_cluster_name=~"|{cluster}[01]",'
        f'envoy_response_code_class=~"|5",le=~"{le}"{scraped}}}[{WINDOW_SECONDS}s]'
    )


def parse(content: bytes) -> list[Series]:
    """Return the series of an answer; raises ValueError with what is wrong with it."""
    try:
        return [
            {
                "metric": one["metric"],
                "values": {float(at): _count(value, one["metric"]) for at, value in one["values"]},
            }
            for one in results(content)
        ]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{content[:100]!r}, wanted the raw samples of its API") from error


def results(content: bytes) -> list[Any]:
    """Return the series of a complete answer; raises ValueError (or what comes of it being none)
    for any other."""
    answer = json.loads(content)
    if answer["status"] != "success":
        raise ValueError(f"the query failed: {answer.get('error')}")
    if answer.get("warnings"):
        raise ValueError(f"the answer may be incomplete: {answer['warnings'][0]}")
    found: list[Any] = answer["data"]["result"]
    return found


def combine(
    series: Sequence[Series],
    *,
    now: float,
    route: traffic.Route,
    bounds: Mapping[str, float],
    before: traffic.Sample | None,
    route_version: str,
    first: str | None = None,
) -> traffic.Sample | None:
    """Return the sum over the proxies that were scraped lately."""
    found = _readings(
        series,
        arms=("stable", "candidate") if first in (None, route.stable) else ("candidate", "stable"),
    )
    if not any((UPTIME, "") in readings for readings in found.values()):
        raise errors.Unavailable(
            f"Prometheus has no {UPTIME} of the gateway: wanted one that scrapes its proxies at /stats/prometheus, "
            "keeps that series, "
            "and gives it the labels that the operator asks by (--gateway-label, chart value prometheus.gatewayLabels)"
        )
    needed = [
        arm
        for arm, weight in (("stable", TOTAL - route.weight), ("candidate", route.weight))
        if weight
    ]
    proxies = [
        proxy
        for name, readings in sorted(found.items())
        if (proxy := _proxy(name, readings, needed=needed, bounds=bounds, now=now))
    ]
    if not proxies:
        return None
    return traffic.Sample(
        at=min(proxy.at for proxy in proxies),
        epoch=_epoch(proxies, bounds=bounds, before=before.epoch if before else ""),
        route_version=route_version,
        stable=_sum(proxies, "stable"),
        candidate=_sum(proxies, "candidate"),
    )


def bucket(threshold: str) -> float:
    """Return the bound of Envoy's histogram that is the threshold, in milliseconds.

    Raises ConfigError where none is.
    """
    wanted = sections.parse_duration(threshold).total_seconds() * 1000
    found = next((bound for bound in BUCKETS if math.isclose(bound, wanted)), None)
    if found is None:
        near = sorted(BUCKETS, key=lambda bound: abs(math.log(bound / max(wanted, 1e-3))))[:2]
        raise errors.ConfigError(
            f"strategy.guards: threshold {threshold} is no bound of Envoy's latency histogram: "
            f"the nearest are {' and '.join(f'{bound:.15g}ms' for bound in sorted(near))}"
        )
    return found


@dataclass(frozen=True)
class Proxy:
    """One proxy at one instant."""

    name: str
    at: float
    started: float
    arms: Mapping[str, traffic.ArmSample]


def _readings(series: Sequence[Series], *, arms: Sequence[str]) -> dict[str, Readings]:
    """Return the series of each proxy; `arms` are those of indices 0 and 1. One that two jobs
    scrape counts once."""
    found: dict[tuple[str, str], Readings] = {}
    for one in series:
        labels = one["metric"]
        index = labels.get("envoy_cluster_name", "").rpartition("/")[2]
        arm = arms[int(index)] if index else ""
        kind = f"le {float(labels['le'])}" if labels["__name__"] == TIMES else labels["__name__"]
        found.setdefault(
            (labels.get("pod") or labels.get("instance", ""), labels.get("job", "")), {}
        )[kind, arm] = one["values"]
    return {proxy: readings for (proxy, _), readings in sorted(found.items(), reverse=True)}


def _proxy(
    name: str, readings: Readings, *, needed: Sequence[str], bounds: Mapping[str, float], now: float
) -> Proxy | None:
    """Return the proxy at the newest scrape that has all needed arms; None where there is none, or
    it is old."""
    uptime = readings.get((UPTIME, ""), {})
    moments = sorted(
        set(uptime).intersection(*(readings.get((COMPLETED, arm), {}) for arm in needed))
    )
    if not moments:
        return None
    at = moments[-1]
    scrapes = sorted(uptime)
    interval = min(
        (later - earlier for earlier, later in itertools.pairwise(scrapes)), default=WINDOW_SECONDS
    )
    if now - at > STALE_SCRAPES * interval + SLACK_SECONDS:
        return None
    arms = {
        arm: _counts(readings, arm, at=at, bounds=bounds)
        for arm in ("stable", "candidate")
        if at in readings.get((COMPLETED, arm), {})
    }
    return Proxy(name, at, _started(uptime, at=at), arms)


def _started(uptime: Values, *, at: float) -> float:
    """Return when the process began: an uptime is told late, so the earliest start that the scrapes
    since then tell is the closest.
    """
    started, last = math.inf, math.inf
    for scrape in sorted((scrape for scrape in uptime if scrape <= at), reverse=True):
        if uptime[scrape] > last:  # of the process before
            break
        started, last = min(started, scrape - uptime[scrape]), uptime[scrape]
    return started


def _counts(
    readings: Readings, arm: str, *, at: float, bounds: Mapping[str, float]
) -> traffic.ArmSample:
    def read(kind: str) -> int:
        return int(readings.get((kind, arm), {}).get(at, 0))

    late, timed = read(LATE), read(f"le {math.inf}")
    for threshold, bound in bounds.items():
        if timed and at not in readings.get((f"le {float(bound)}", arm), {}):
            raise errors.ConfigError(
                f"strategy.guards: threshold {threshold} is no bound of the latency histogram that Prometheus has of "
                "the gateway: "
                "wanted Envoy's own bounds, and all of them kept"
            )
    slow = {
        threshold: timed - read(f"le {float(bound)}") + late for threshold, bound in bounds.items()
    }
    active = readings.get((ACTIVE, arm), {}).get(at)
    shed = sum(map(read, SHED))
    return traffic.ArmSample(
        requests=read(COMPLETED),
        errors=max(read(ERRORS) - shed, 0),
        timed=timed + late,
        slow=slow,
        unanswered=late + read(BROKEN),
        active=None if active is None else int(active),
    )


def _sum(proxies: Sequence[Proxy], arm: str) -> traffic.ArmSample | None:
    arms = [proxy.arms[arm] for proxy in proxies if arm in proxy.arms]
    if not arms:
        return None
    active = [counts.active for counts in arms]
    slow = {threshold: sum(counts.slow[threshold] for counts in arms) for threshold in arms[0].slow}
    return traffic.ArmSample(
        requests=sum(a.requests for a in arms),
        errors=sum(a.errors for a in arms),
        timed=sum(a.timed for a in arms),
        slow=slow,
        unanswered=sum(a.unanswered for a in arms),
        active=None if None in active else sum(count or 0 for count in active),
    )


def _epoch(proxies: Sequence[Proxy], *, bounds: Mapping[str, float], before: str) -> str:
    """Return the proxies with their starts, and what counts as slow: sums compare only while all
    that is the same."""
    entries, _, thresholds = before.partition(" ")
    known = dict(entry.split("@") for entry in entries.split(",") if entry.count("@") == 1)
    starts = {
        hashlib.sha256(proxy.name.encode()).hexdigest()[:8]: proxy.started for proxy in proxies
    }
    same = known.keys() == starts.keys() and all(
        abs(float(known[name]) - started) <= RESTART_SECONDS for name, started in starts.items()
    )
    if same and thresholds == ",".join(bounds):
        return before
    return f"{','.join(f'{name}@{started:.0f}' for name, started in starts.items())} {','.join(bounds)}"


def _count(value: str, metric: Mapping[str, str]) -> float:
    count = float(value)
    if not math.isfinite(count) or count < 0:
        raise ValueError(f"{metric.get('__name__')} is {value}, wanted a count")
    return count


def literal(text: str) -> str:
    """Return a regular expression that means the text, with no backslash: PromQL would read it
    first."""
    return text.replace(".", "[.]").replace("+", "[+]")
