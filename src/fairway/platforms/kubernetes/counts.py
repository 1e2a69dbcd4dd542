"""A user's own queries instead of Envoy Gateway's statistics: other gateways, and Seldon's ingress.

Every query is asked as of one instant, but its series come from scrapes of many pods at different times: the comparison of the arms is approximate.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fairway import errors
from fairway.config import resource, schema
from fairway.platforms.kubernetes import prometheus
from fairway.rollout import traffic

EPOCH = "queries"
RATE = re.compile(r"\b(i?rate|increase|i?delta)\s*\(")
Read = Callable[[bytes], float | None]


class Asks(Protocol):
    """A Prometheus."""

    def ask(self, query: str, *, read: Read, at: float | None = None) -> tuple[float | None, float]: ...


def sample(
    source: Asks, queries: resource.Counts, *, namespace: str, deployment: str, route: traffic.Route, thresholds: Sequence[str],
) -> traffic.Sample:
    """Gives both arms' counts as of one instant, by Prometheus's own clock; an arm that has counted nothing yet is None.

    Raises Unavailable where Prometheus gives no number, ConfigError where a threshold has no query.
    """
    _, now = source.ask("time()", read=lambda _: None)
    arms = [_arm(source, queries, names={"namespace": namespace, "deployment": deployment, "revision": revision, "service": f"{deployment}-{revision}"},
                 thresholds=thresholds, now=now) if revision is not None else None for revision in (route.stable, route.candidate)]
    return traffic.Sample(at=now, epoch=EPOCH, route_version="", stable=arms[0], candidate=arms[1])


def check(queries: resource.Counts) -> None:
    """Raises ConfigError with what is wrong with the queries, before any rollout depends on them."""
    for name, query in queries.model_dump(exclude_none=True).items():
        if RATE.search(query):
            raise errors.ConfigError(f"counts.{name} takes a rate: wanted a counter's sum since ever; fairway takes the differences itself")


def _arm(source: Asks, queries: resource.Counts, *, names: Mapping[str, str], thresholds: Sequence[str], now: float) -> traffic.ArmCounts | None:
    def read(name: str, query: str) -> int | None:
        value, _ = source.ask(query, read=lambda content: _number(content, name), at=now)
        return None if value is None else int(value)

    requests = read("requests", _filled(queries.requests, names))
    if requests is None:
        return None
    failed = read("errors", _filled(queries.errors, names)) or 0
    slow = {threshold: max(requests - (read("within", _within(queries, threshold, names)) or 0), 0) for threshold in thresholds}
    return traffic.ArmCounts(requests=requests, errors=min(failed, requests), timed=requests if thresholds else 0, slow=slow)


def _within(queries: resource.Counts, threshold: str, names: Mapping[str, str]) -> str:
    if queries.within is None:
        raise errors.ConfigError(f"counts.within is missing: a guard's threshold of {threshold} needs the query that counts the answers within it")
    seconds = schema.parse_duration(threshold).total_seconds()
    return _filled(queries.within, {**names, "seconds": f"{seconds:g}", "milliseconds": f"{seconds * 1000:g}"})


def _filled(query: str, names: Mapping[str, str]) -> str:
    """Gives the query with its names filled in; PromQL's own braces stay, since only a name in braces stands for something."""
    for key, value in names.items():
        query = query.replace(f"{{{key}}}", value)
    return query


def _number(content: bytes, name: str) -> float | None:
    """Gives the one number of an answer, None where there is no series; raises ValueError for anything else."""
    try:
        found = prometheus.results(content)
        if not found:
            return None
        if len(found) > 1:
            raise ValueError(f"counts.{name} gives {len(found)} series: wanted one number, such as a sum")
        value = float(found[0]["value"][1])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"counts.{name} gives {content[:100]!r}: wanted an instant vector") from error
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"counts.{name} gives {value}: wanted a count")
    return value
