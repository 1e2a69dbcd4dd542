"""What Envoy's statistics say of an arm. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.config import sections
from fairway.platforms.local.xds import bootstrap
from fairway.rollout import traffic

BROKEN = "cx_destroy_remote_with_active_rq"  # one connection, one request: HTTP/1 to our servers
SHED = (
    "rq_pending_overflow",
    "rq_active_overflow",
)  # what the circuit breakers refused: too many wait, too many are in work
WANTED = "|".join(("rq_completed", "rq_active", "rq_5xx", "rq_timeout", "rq_time", BROKEN, *SHED))


def exactly(name: str) -> str:
    """Return the pattern of one statistic's name."""
    return f"^{name.replace('.', '[.]')}$"


def parse(answer: Any) -> tuple[dict[str, Any], dict[str, dict[float, int]]]:
    """Return counters and texts by name, and cumulative counts by upper bound of each histogram."""
    values: dict[str, Any] = {}
    histograms: dict[str, dict[float, int]] = {}
    for entry in answer["stats"]:
        if "name" in entry:
            values[entry["name"]] = entry["value"]
        for histogram in entry.get("histograms", ()):
            histograms[histogram["name"]] = {
                float(bucket["upper_bound"]): int(bucket["cumulative"])
                for bucket in histogram["buckets"]
            }
    return values, histograms


def arm(
    values: Mapping[str, Any],
    histograms: Mapping[str, Mapping[float, int]],
    cluster: str,
    thresholds: Sequence[str],
) -> traffic.ArmSample | None:
    """Return one arm's counters, or None where Envoy has no such cluster."""
    completed = values.get(f"cluster.{cluster}.upstream_rq_completed")
    if completed is None:
        return None
    buckets = histograms.get(f"cluster.{cluster}.upstream_rq_time", {})
    # Envoy does not time what never ended
    late = int(values.get(f"cluster.{cluster}.upstream_rq_timeout", 0))
    # A server that dies over a request has failed it, although another answered the retry and the
    # client saw no error.
    broken = int(values.get(f"cluster.{cluster}.upstream_{BROKEN}", 0))
    shed = sum(
        int(values.get(f"cluster.{cluster}.upstream_{name}", 0)) for name in SHED
    )  # a 503 to the counters, a 429 to the client
    failed = max(int(values.get(f"cluster.{cluster}.upstream_rq_5xx", 0)) - shed, 0)
    timed = max(buckets.values(), default=0)
    fast = {
        threshold: buckets.get(
            float(bootstrap.bound(sections.parse_duration(threshold).total_seconds() * 1000)), 0
        )
        for threshold in thresholds
    }
    return traffic.ArmSample(
        requests=int(completed),
        errors=failed + broken,
        timed=timed + late,
        slow={threshold: timed + late - count for threshold, count in fast.items()},
        unanswered=broken + late,
        active=int(values.get(f"cluster.{cluster}.upstream_rq_active", 0)),
    )
