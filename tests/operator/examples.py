"""A ModelDeployment that is right, changes that leave it so, and changes that do not, with the
sentence that refuses each.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GONE = object()  # as a value: the field is left out
VALID: dict[str, Any] = {
    "apiVersion": "fairway.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "income"},
    "spec": {
        "model": {"uri": "s3://models/income", "digest": "sha256:" + "0123456789abcdef" * 4},
        "gateway": {"parentRefs": [{"name": "models"}]},
        "podTemplate": {
            "spec": {
                "nodeSelector": {"disk": "fast"},
                "containers": [{"name": "server", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
            }
        },
        "paused": True,
    },
}

Change = Mapping[str, Any]  # path -> value


def changed(change: Change) -> dict[str, Any]:
    """Return the valid resource with other values at the given paths."""
    changed = copy.deepcopy(VALID)
    for path, value in change.items():
        *sections, name = path.split(".")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        if value is GONE:
            place.pop(name, None)
        else:
            place[name] = value
    return changed


def guard(type: str, **fields: Any) -> Change:
    return {"spec.strategy.guards": [{"name": "one", "type": type, **fields}]}


def hook(**fields: Any) -> Change:
    return {
        "spec.strategy.hooks": [
            {"name": "gate", "url": "http://gate.models.svc/", "at": ["preStep"], **fields}
        ]
    }


def weights(*steps: int) -> Change:
    return {"spec.strategy.canary.steps": [{"weight": weight} for weight in steps]}


COUNTS = {"template": "istio"}
OWN_ROUTING: Change = {
    "spec.runtime": "seldon",
    "spec.routing": "seldon",
    "spec.gateway": GONE,
    "spec.counts": COUNTS,
    "spec.strategy.shadow": {"enabled": False},
    "spec.strategy.guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
}
ACCEPTED: dict[str, Change] = {
    "as it is": {},
    "one step of all": weights(100),
    "sixteen steps": weights(*range(5, 85, 5)),
    "no bake": {"spec.strategy.bake": {"weight": 0, "duration": "0s"}},
    "half in the bake": {"spec.strategy.bake.weight": 50},
    "fixed replicas": {"spec.scaling": {"minReplicas": 3, "maxReplicas": 3}},
    "scaled by concurrency": {"spec.scaling": {"concurrency": 8, "cpuUtilization": 50}},
    "seldon behind a gateway": {"spec.runtime": "seldon"},
    "seldon's own routing": OWN_ROUTING,
    "queries for another gateway": {"spec.counts": COUNTS},
    "no guards": {"spec.strategy.guards": []},
    "latency that only watches": guard("latency", threshold="50ms", gates="watch"),
    "quality that gates the bake": guard("quality", gates="bake", maxLossIncrease=0.01),
    "disagreement in shadow": guard("disagreement", gates="shadow"),
    "errors counted by unit": guard("errors", count="units", maxRate=0.02),
    "latency counted by request": guard(
        "latency", count="requests", threshold="50ms", maxRate=0.05
    ),
    "rejections": guard("rejections"),
    "a limit by stable's rate": guard("errors", maxRatio=1.5),
    "a tolerance, and requests that share a fate": guard(
        "errors", count="requests", maxRate=0.02, tolerance=1.2, requestsPerUnit=10
    ),
    "quality in every slice": guard("quality", sliceBy="sector"),
    "an A/B test of outcomes": guard(
        "business", gates="canary", outcome="purchase", upper=100, maxLossIncrease=0
    ),
    "outcomes that should be small": guard(
        "business", outcome="minutes of waiting", lower=-1, upper=60, higherIsBetter=False
    ),
    "drift of the answers": guard("drift", maxShift=0.1),
    "fused with an objective and a budget of bad requests": guard(
        "errors", maxRate=0.1, objective=0.01
    )
    | {"spec.strategy.mode": "fused", "spec.strategy.badRequests": 50},
    "fused, where a limit rolls back by itself": guard("errors", gates="watch", maxRate=0.1)
    | {"spec.strategy.mode": "fused"},
    "hooks that are asked and told": {
        "spec.strategy.hooks": [
            {
                "name": "freeze",
                "url": "http://freeze.models.svc:8080/",
                "at": ["preRollout", "preStep"],
            },
            {
                "name": "smoke",
                "url": "https://smoke.example.com/?suite=all",
                "at": ["prePromotion", "postPause"],
                "timeout": "1m",
                "onRefusal": "rollback",
            },
        ]
    },
    "a package on a claim": {"spec.model.uri": "pvc://models/income"},
    "fifty characters": {"metadata.name": "a" * 50},
}


@dataclass(frozen=True)
class Refused:
    """A change, and what the API server and the models say of it; None where the models let it
    pass."""

    change: Change
    says: str
    models: str | None


RISE = "canary.steps weights do not rise: wanted each step above the one before"
CERTIFY = (
    "a guard of type errors or latency that gates canary (as by default) or bake needs maxRate, the limit to certify "
    "(or maxRatio)"
)
SERVICES = (
    "metadata.name names Services: wanted lower-case letters, digits and hyphens, "
    "a letter first and no hyphen last"
)
DURATION = "should match '^([0-9]{1,12}(?:\\.[0-9]{1,6})?)(ms|s|m|h|d)$'"
A_DURATION = "wanted a duration such as 250ms, 30s, 10m, 6h or 2d"
PATTERN = "String should match pattern"

REFUSED: dict[str, Refused] = {
    "equal weights": Refused(weights(5, 5), RISE, "wanted rising weights"),
    "falling weights": Refused(weights(5, 50, 25), RISE, "wanted rising weights"),
    "no steps": Refused(
        weights(),
        "canary.steps is empty: wanted at least one step",
        "canary.steps is empty: wanted at least one step",
    ),
    "too many steps": Refused(
        weights(*range(1, 18)), "must have at most 16 items", "at most 16 items"
    ),
    "a step of nothing": Refused(
        weights(0, 50), "should be greater than or equal to 1", "greater than or equal to 1"
    ),
    "a bake over half": Refused(
        {"spec.strategy.bake.weight": 51},
        "bake.weight is above 50: the old revision would keep more than it gives up",
        "less than or equal to 50",
    ),
    "odd scales": Refused(
        {"spec.monitoring.scales": [50, 120]},
        "monitoring.scales has one that is no multiple of the smallest",
        "120 is no multiple of 50",
    ),
    "inverted replicas": Refused(
        {"spec.scaling": {"minReplicas": 4, "maxReplicas": 3}},
        "scaling.maxReplicas is below scaling.minReplicas",
        "scaling.maxReplicas 3 is below scaling.minReplicas 4",
    ),
    "a minimum over the default maximum": Refused(
        {"spec.scaling.minReplicas": 7},
        "scaling.maxReplicas is below scaling.minReplicas",
        "scaling.maxReplicas 6 is below scaling.minReplicas 7",
    ),
    "a watch guard with a limit": Refused(
        guard("errors", gates="watch", maxRate=0.1),
        "a guard that only watches certifies nothing",
        None,
    ),
    "latency without a threshold": Refused(
        guard("latency", maxRate=0.05),
        "a guard of type latency needs a threshold",
        "needs a threshold",
    ),
    "errors without a limit": Refused(
        guard("errors"), CERTIFY, "guard one gates canary: it needs maxRate"
    ),
    "latency in the bake without a limit": Refused(
        guard("latency", gates="bake", threshold="50ms"),
        CERTIFY,
        "guard one gates bake: it needs maxRate",
    ),
    "disagreement in the canary": Refused(
        guard("disagreement", gates="canary"),
        "a guard of type disagreement can only gate shadow",
        "can only gate shadow",
    ),
    "errors in shadow": Refused(
        guard("errors", gates="shadow", maxRate=0.1),
        "only a guard of type disagreement can gate shadow",
        "cannot gate shadow",
    ),
    "slices that gate": Refused(
        guard("quality", sliceBy="sector", gates="bake"),
        "sliceBy is for quality that watches",
        "only quality that watches",
    ),
    "slices by two features": Refused(
        {
            "spec.strategy.guards": [
                {"name": "one", "type": "quality", "sliceBy": "sector"},
                {"name": "two", "type": "quality", "sliceBy": "age"},
            ]
        },
        "guards slice by several features: wanted one",
        "wanted one feature",
    ),
    "two kinds of limit": Refused(
        guard("errors", maxRate=0.1, maxRatio=2),
        "maxRatio goes instead of maxRate",
        "wanted it instead of maxRate",
    ),
    "business without an outcome": Refused(
        guard("business", upper=10),
        "a guard of type business needs outcome, and upper above lower",
        "needs outcome",
    ),
    "business with bounds the wrong way": Refused(
        guard("business", outcome="purchase", lower=10, upper=1),
        "a guard of type business needs outcome, and upper above lower",
        "upper above lower",
    ),
    "drift that gates": Refused(
        guard("drift", gates="canary"), "a guard of type drift can only watch", "can only watch"
    ),
    "a tolerance of what has a margin": Refused(
        guard("quality", tolerance=2),
        "tolerance is of guards of type errors or latency",
        "has tolerance: wanted it for",
    ),
    "requests that share a fate where units count": Refused(
        guard("errors", maxRate=0.02, requestsPerUnit=4),
        "requestsPerUnit needs count requests",
        "has requestsPerUnit: wanted it with count requests",
    ),
    "rejections counted by request": Refused(
        guard("rejections", count="requests"),
        "only a guard of type errors or latency can count requests",
        "only errors and latency can",
    ),
    "rejections with a limit": Refused(
        guard("rejections", maxRate=0.1),
        "a guard of type rejections can only watch",
        "can only watch",
    ),
    "a budget of nothing": Refused(
        {"spec.strategy.badRequests": 0},
        "should be greater than or equal to 1",
        "greater than or equal to 1",
    ),
    "two hooks of one name": Refused(
        {
            "spec.strategy.hooks": [
                hook()["spec.strategy.hooks"][0],
                hook(at=["postPause"])["spec.strategy.hooks"][0],
            ]
        },
        "two hooks have the same name: wanted different names",
        "wanted different names",
    ),
    "a hook that is never called": Refused(
        hook(at=[]), "should have at least 1 items", "at least 1 item"
    ),
    "a hook that is called at no point": Refused(
        hook(at=["preFinish"]), 'Unsupported value: "preFinish"', "Input should be 'preRollout'"
    ),
    "a hook that is called twice": Refused(
        hook(at=["preStep", "preStep"]),
        "a hook names a point of the rollout twice",
        "wanted each once",
    ),
    "a hook that takes an hour": Refused(
        hook(timeout="1h"),
        "a hook's timeout is not above 0 and 1m at most",
        "wanted above 0, and 1m at most",
    ),
    "a hook that takes a day": Refused(
        hook(timeout="1d"),
        "a hook's timeout is not above 0 and 1m at most",
        "wanted above 0, and 1m at most",
    ),
    "a hook that takes no time": Refused(
        hook(timeout="0s"),
        "a hook's timeout is not above 0 and 1m at most",
        "wanted above 0, and 1m at most",
    ),
    "a hook with a password": Refused(
        hook(url="http://user:secret@gate/"), "should match", PATTERN
    ),
    "a hook that is told and refuses": Refused(
        hook(at=["postRollback"], onRefusal="rollback"),
        "a hook that is only told has onRefusal rollback",
        "only told",
    ),
    "an unknown guard": Refused(
        guard("taste"),
        'Unsupported value: "taste"',
        "wanted a type of guard that is installed: business, disagreement, drift, errors, latency, quality, rejections",
    ),
    "two guards of one name": Refused(
        {
            "spec.strategy.guards": [
                {"name": "one", "type": "quality"},
                {"name": "one", "type": "disagreement"},
            ]
        },
        "two guards have the same name: wanted different names",
        "wanted different names",
    ),
    "no gateway": Refused(
        {"spec.gateway": GONE},
        "routing gateway needs gateway.parentRefs",
        "routing gateway needs gateway.parentRefs",
    ),
    "no parent": Refused(
        {"spec.gateway.parentRefs": []}, "should have at least 1 items", "at least 1 item"
    ),
    "seldon's routing without seldon": Refused(
        {"spec.routing": "seldon"},
        "routing seldon needs runtime seldon",
        "routing seldon needs runtime seldon",
    ),
    "seldon's routing without counts": Refused(
        OWN_ROUTING | {"spec.counts": GONE},
        "routing seldon needs counts",
        "routing seldon needs counts",
    ),
    "seldon's routing with a shadow": Refused(
        OWN_ROUTING | {"spec.strategy.shadow": {}},
        "routing seldon has no shadow stage",
        "routing seldon has no shadow stage",
    ),
    "a query of one's own": Refused(
        {"spec.counts.requests": "sum(up)", "spec.counts.template": "istio"},
        'unknown field "spec.counts.requests"',
        "Extra inputs are not permitted",
    ),
    "no name of queries": Refused(
        {"spec.counts": {}}, "spec.counts.template: Required value", "Field required"
    ),
    "an unknown runtime": Refused(
        {"spec.runtime": "triton"},
        'Unsupported value: "triton"',
        "Input should be 'bentoml' or 'seldon'",
    ),
    "no digest": Refused(
        {"spec.model.digest": GONE}, "spec.model.digest: Required value", "Field required"
    ),
    "a short digest": Refused(
        {"spec.model.digest": "sha256:0123"}, "should match '^sha256:[0-9a-f]{64}$'", PATTERN
    ),
    "a path for an address": Refused(
        {"spec.model.uri": "models/income"},
        "should match '^(s3|gs|minio|https?|oci|pvc)://[^\\s]+$'",
        PATTERN,
    ),
    "a password in the address": Refused(
        {"spec.model.uri": "https://user:password@models.example.com/income"},
        "model.uri has credentials in it",
        "wanted no credentials",
    ),
    "a user in the address": Refused(
        {"spec.model.uri": "s3://user@models"},
        "model.uri has credentials in it",
        "wanted no credentials",
    ),
    "a duration of weeks": Refused({"spec.strategy.warmup": "1w"}, DURATION, A_DURATION),
    "a duration without a unit": Refused({"spec.serving.timeout": "10"}, DURATION, A_DURATION),
    "a number for a duration": Refused(
        {"spec.strategy.canary.budget": 6}, "must be of type string", A_DURATION
    ),
    "no false rollbacks ever": Refused(
        {"spec.strategy.falseRollback": 0}, "should be greater than 0", "greater than 0"
    ),
    "a misspelt field": Refused(
        {"spec.strategy.cannary": {}},
        'unknown field "spec.strategy.cannary"',
        "Extra inputs are not permitted",
    ),
    "a second place for the runtime": Refused(
        {"spec.serving.runtime": "seldon"}, 'unknown field "spec.serving.runtime"', None
    ),
    "a long name": Refused(
        {"metadata.name": "a" * 51}, "metadata.name is longer than 50 characters", None
    ),
    "a name with a dot": Refused({"metadata.name": "income.v2"}, SERVICES, None),
    "a name with a digit first": Refused({"metadata.name": "2nd-income"}, SERVICES, None),
}

IMMUTABLE: dict[str, Refused] = {
    "runtime": Refused(
        {"spec.runtime": "seldon"}, "runtime cannot be changed: create a new ModelDeployment", None
    ),
    "routing": Refused(
        {"spec.runtime": "seldon", "spec.routing": "seldon"},
        "routing cannot be changed: create a new ModelDeployment",
        None,
    ),
}
