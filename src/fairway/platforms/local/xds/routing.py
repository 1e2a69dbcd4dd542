"""Envoy's routes: how each deployment's requests are divided, mirrored, bounded and asked again.
Pure.

Bodies are taken in whole before anything is asked of a server: one that is too large (413) or does
not come (408) is answered here, and counts for no arm. What is more than the servers' share of
connections is answered 429 here, for it was the load, and no revision, that failed it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fairway.platforms.local.xds import bootstrap, clusters, parts
from fairway.rollout import traffic
from fairway.serving import command

TOTAL = 10_000  # constant: another total would move a tenth of the units
RETRIES = 2  # a request that kills its server meets three of them at most


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a deployment's servers bear."""

    seconds: float = 10.0
    """What they may take for an answer."""
    body_bytes: int = 8 * parts.MEBIBYTE
    """Their largest request."""

    @property
    def total_seconds(self) -> float:
        """Return what all tries of one request may take together."""
        return 3 * (self.seconds + 1)


def longest_seconds(limits: Mapping[str, Limits] | None) -> float:
    """Return how long a request may be under way: until its body has come, and all tries after it."""
    known = [Limits(), *(limits or {}).values()]
    return bootstrap.BODY_SECONDS + max(one.total_seconds for one in known)


def routes_document(
    routes: Iterable[traffic.Route], *, limits: Mapping[str, Limits] | None = None
) -> parts.Json:
    """Return the routes as an RDS document; its version names the version of each deployment's
    route.

    `limits` are those of a deployment's servers.
    """
    ordered = sorted(routes, key=lambda route: route.deployment)
    entries = [
        entry
        for route in ordered
        for entry in _route(route, limits=(limits or {}).get(route.deployment, Limits()))
    ]
    server = {
        "match": {"path": "/v2"},
        "direct_response": parts.answer(200, json.dumps(command.SERVER)),
        "response_headers_to_add": [parts.header("content-type", "application/json")],
    }
    health = [
        {
            "match": {"path": f"/v2/health/{probe}"},
            "direct_response": parts.answer(200, f'{{"{probe}": true}}'),
            "response_headers_to_add": [parts.header("content-type", "application/json")],
        }
        for probe in ("live", "ready")
    ]
    missing = {
        "match": {"prefix": "/"},
        "direct_response": parts.answer(
            404, "no such model is deployed here; see `fairway status`"
        ),
    }
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [_nameless(), server, *health, *entries, missing],
    }
    document = parts.document(
        "config.route.v3.RouteConfiguration", [{"name": parts.ROUTES, "virtual_hosts": [host]}]
    )
    names = versions_text({route.deployment: route.version for route in ordered})
    return {
        **document,
        "version_info": f"{names};{document['version_info']}",
    }  # the digest tells a change that no route's version names


def versions_text(versions: Mapping[str, str]) -> str:
    """Return `deployment=version` of each, so that one text in the statistics tells what is in
    effect."""
    return ",".join(f"{name}={version}" for name, version in sorted(versions.items())) or "none"


def versions(text: str) -> dict[str, str]:
    """Return the route versions back from an RDS document's version."""
    return dict(pair.split("=", 1) for pair in text.partition(";")[0].split(",") if "=" in pair)


def _nameless() -> parts.Json:
    """Return the refusal of an empty unit: all of them would hash to one arm, which is no fair
    draw."""
    return {
        "match": {
            "prefix": "/",
            "headers": [{"name": "x-fairway-unit", "string_match": {"exact": ""}}],
        },
        "direct_response": parts.answer(
            400, "x-fairway-unit is empty: name the user or session, or leave the header out"
        ),
    }


def _route(route: traffic.Route, *, limits: Limits) -> list[parts.Json]:
    """Return the entries of one deployment: each revision by its name, then the arms by weight."""
    model = f"/v2/models/{route.deployment}"
    common = _common(route, limits=limits)
    entries: list[parts.Json] = []
    for revision in clusters.named(route):
        entries += _named(route, revision, model=model, limits=limits, common=common)
    gone = f"no such revision of {route.deployment} serves: wanted one that does, or no version in the path"
    entries.append(
        {"match": {"prefix": f"{model}/versions/"}, "direct_response": parts.answer(404, gone)}
    )
    action = _divided(route, limits=limits)
    return entries + [
        {"match": match, "route": action, **common}
        for match in ({"prefix": f"{model}/"}, {"path": model})
    ]


def _common(route: traffic.Route, *, limits: Limits) -> parts.Json:
    """Return what holds for every request of the deployment."""
    bounded = {
        "@type": parts.TYPE + "extensions.filters.http.buffer.v3.BufferPerRoute",
        "buffer": {"max_request_bytes": limits.body_bytes},
    }
    return {
        "response_headers_to_add": [parts.header("x-fairway-route-version", route.version)],
        # of a client it would pass for a mirrored copy; the arm is overwritten
        "request_headers_to_remove": ["x-fairway-revision"],
        "typed_per_filter_config": {parts.BUFFERING: bounded},
    }


def _named(
    route: traffic.Route, revision: str, *, model: str, limits: Limits, common: parts.Json
) -> list[parts.Json]:
    """Return the entries by which a client asks for the revision by its name."""
    asked = {
        "cluster": clusters.cluster_name(route.deployment, revision, clusters.NAMED),
        "timeout": f"{limits.seconds + 1:g}s",
    }
    path = f"{model}/versions/{revision}"
    return [
        {
            "match": match,
            "route": asked,
            "request_headers_to_add": [parts.header("x-fairway-arm", clusters.NAMED)],
            **common,
        }
        for match in ({"prefix": f"{path}/"}, {"path": path})
    ]


def _divided(route: traffic.Route, *, limits: Limits) -> parts.Json:
    """Return the action that divides requests between the arms, and mirrors them to a shadow."""
    total = limits.total_seconds
    salted = {"pattern": {"regex": "^(.*)$"}, "substitution": f"{route.salt}:\\1"}
    unit = {"header": {"header_name": "x-fairway-unit", "regex_rewrite": salted}}
    action: parts.Json = {
        "weighted_clusters": {"clusters": _weights(route), "use_hash_policy": True},
        "hash_policy": [unit],
        "timeout": f"{total:g}s",
        "idle_timeout": f"{max(60.0, total):g}s",
        "retry_policy": _retries(limits.seconds),
    }
    if route.mirror and route.candidate is not None:
        share = {"numerator": route.mirror, "denominator": "HUNDRED"}
        action["request_mirror_policies"] = [
            {
                "cluster": clusters.cluster_name(route.deployment, route.candidate, "shadow"),
                "runtime_fraction": {"default_value": share},
                "disable_shadow_host_suffix_append": True,
                "request_headers_mutations": [{"remove": "x-fairway-arm"}],
            }
        ]
    return action


def _weights(route: traffic.Route) -> list[parts.Json]:
    """Return the arms, the candidate first: growing its weight then moves units one way only."""
    canary = route.weight * TOTAL // 100 if route.candidate is not None else 0
    arms = [(route.candidate, "canary", canary), (route.stable, "stable", TOTAL - canary)]
    return [
        {
            "name": clusters.cluster_name(route.deployment, revision, arm),
            "weight": weight,
            "request_headers_to_add": [parts.header("x-fairway-arm", arm)],
        }
        for revision, arm, weight in arms
        if revision is not None and weight
    ]


def _retries(deadline: float) -> parts.Json:
    """Return how a request is asked again: first at the arm's server, then at its second priority,
    once more at the first.

    Envoy has one number of retries for all causes. A server that starts again must be waited for,
    which takes many attempts; a request that kills its server must not be sent many times. So the
    waiting is not done here: the second priority is reached through the patient listener, which
    tries to connect until somebody listens, and sends nothing before.
    """
    return {
        # inference changes nothing: it may be asked again
        "retry_on": "connect-failure,refused-stream,reset,reset-before-request",
        "num_retries": RETRIES,
        # a hung server must not hold its clients; a second more than the server's own deadline
        "per_try_timeout": f"{deadline + 1:g}s",
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": parts.TYPE
                + "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 1,
            },
        },
    }
