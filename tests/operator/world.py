"""A cluster that lives in a dict, and a gateway that counts as asked: for looks that no real
cluster gives."""

import contextlib
import copy
import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairway import clocks, errors
from fairway.control import units
from fairway.monitoring.eventstore import answers
from fairway.operator.reconcile import Reconciler
from fairway.operator.target import OperatorSettings
from fairway.platforms.kubernetes import api, counts
from fairway.rollout import traffic

NAME, NAMESPACE = "income", "models"
SHORT = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 25}, {"weight": 50}]},
    "bake": {"weight": 5, "duration": "2s"},
    "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05, "count": "requests"}],
}

TEMPLATES = {
    "requests": counts.Queries(
        requests='sum(requests{r="{revision}"})', errors='sum(errors{r="{revision}"})'
    )
}


class Cluster(api.Api):
    """Keeps objects as an API server does: generations, versions, conflicts, immutable revisions."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], api.Object] = {}
        self.pods: dict[str, int] = {}  # Deployment -> available replicas, 2 where nothing is said
        self.refused: set[str] = set()  # kinds that cannot be written
        self.refusal: errors.FairwayError | None = None  # and what is said of them
        self.accepts = True  # whether the gateway's controller is there
        self.routes: list[
            dict[str, tuple[int, int]]
        ] = []  # each HTTPRoute that was written: revision -> its place and its weight
        self.kinds = {"BackendTrafficPolicy"}  # of others, that are installed
        self.events: list[str] = []  # reason and message of each that was posted
        self._version = 0

    def apply(self, obj: Any, **_: Any) -> api.Object:
        key = obj["kind"], obj["metadata"]["name"]
        if obj["kind"] in self.refused:
            raise self.refusal or errors.PlatformError(f"a webhook refused the {obj['kind']}")
        old, new = self.objects.get(key), copy.deepcopy(dict(obj))
        uid = old["metadata"]["uid"] if old is not None else f"uid-{self._version}"
        if new["metadata"].setdefault("uid", uid) != uid:
            raise api.Conflict("uid mismatch")
        if old is not None and old.get("data") != new.get("data"):
            raise errors.PlatformError("data is immutable")
        changed = old is None or old.get("spec") != new.get("spec")
        new["metadata"]["generation"] = (old["metadata"]["generation"] if old else 0) + changed
        new["status"] = old.get("status", {}) if old else {}
        if self.accepts and obj["kind"] == "HTTPRoute":
            new["status"] = {
                "parents": [
                    {
                        "conditions": [
                            {
                                "type": "Accepted",
                                "status": "True",
                                "observedGeneration": new["metadata"]["generation"],
                            }
                        ]
                    }
                ]
            }
        if obj["kind"] == "HTTPRoute":
            backends = new["spec"]["rules"][0]["backendRefs"]
            self.routes.append(
                {
                    b["name"].removeprefix(f"{NAME}-"): (place, b["weight"])
                    for place, b in enumerate(backends)
                    if b["weight"]
                }
            )
        if obj["kind"] == "SeldonDeployment":
            self._seldon(new)
        return self._keep(key, new)

    def serves(self, kind: str) -> bool:
        return kind in self.kinds

    def _seldon(self, new: api.Object) -> None:
        """Make a Deployment of each predictor, as Seldon's operator does, and end those of the
        others."""
        names, owner = (
            set(),
            {"kind": "SeldonDeployment", "name": new["metadata"]["name"], "controller": True},
        )
        for predictor in new["spec"]["predictors"]:
            name = f"{NAME}-{predictor['name']}-0-server"
            names.add(name)
            labels = predictor["componentSpecs"][0]["metadata"]["labels"]
            self._keep(
                ("Deployment", name),
                {
                    "kind": "Deployment",
                    "metadata": {
                        "name": name,
                        "labels": labels,
                        "generation": 1,
                        "ownerReferences": [owner],
                    },
                },
            )
        for key in [key for key in self.objects if key[0] == "Deployment" and key[1] not in names]:
            del self.objects[key]

    def get(self, kind: str, namespace: str, name: str) -> api.Object | None:
        return copy.deepcopy(self.objects.get((kind, name)))

    def find(
        self, kind: str, namespace: str | None = None, *, labels: str = ""
    ) -> list[api.Object]:
        wanted = dict(label.split("=") for label in labels.split(",") if label)
        found = [
            copy.deepcopy(obj)
            for (of, _), obj in self.objects.items()
            if of == kind and wanted.items() <= obj["metadata"].get("labels", {}).items()
        ]
        for obj in found if kind == "Deployment" else ():
            available = self.pods.get(obj["metadata"]["name"], 2)
            obj["status"] = {
                "availableReplicas": available,
                "updatedReplicas": available,
                "observedGeneration": obj["metadata"]["generation"],
            }
        return found

    def accept(self, *, status: str = "True", message: str = "") -> None:
        """Say what the gateway's controller has to say of the HTTPRoute."""
        route = self.objects["HTTPRoute", NAME]
        condition = {
            "type": "Accepted",
            "status": status,
            "reason": "Yes" if status == "True" else "No",
            "message": message,
            "observedGeneration": route["metadata"]["generation"],
        }
        self._keep(
            ("HTTPRoute", NAME),
            {
                **route,
                "status": {
                    "parents": [{"parentRef": {"name": "models"}, "conditions": [condition]}]
                },
            },
        )

    def take_away(self, deployment: str) -> None:
        """End a Deployment's pods, as a drain does, and take no new ones."""
        self.pods[deployment] = 0

    def crash(self, deployment: str) -> None:
        """End the container of a Deployment's only pod."""
        self.pods[deployment] = 0
        labels = self.objects["Deployment", deployment]["metadata"]["labels"]
        server = {
            "name": "server",
            "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }
        self._keep(
            ("Pod", deployment),
            {
                "kind": "Pod",
                "metadata": {"name": deployment, "labels": labels},
                "status": {"containerStatuses": [server]},
            },
        )

    def merge(self, kind: str, namespace: str, name: str, patch: Any, **_: Any) -> api.Object:
        found = self.objects[kind, name]
        annotations = {
            **found["metadata"].get("annotations", {}),
            **patch["metadata"]["annotations"],
        }
        return self._keep(
            (kind, name), {**found, "metadata": {**found["metadata"], "annotations": annotations}}
        )

    def create(self, obj: Any, **_: Any) -> api.Object:
        if obj["kind"] == "Event":
            self.events.append(f"{obj['reason']}: {obj['message']}")
            return dict(obj)
        if (obj["kind"], obj["metadata"]["name"]) in self.objects:
            raise api.Conflict("it is there")
        return self.apply(obj)

    def replace_status(self, obj: Any) -> api.Object:
        key = obj["kind"], obj["metadata"]["name"]
        if self.objects[key]["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise api.Conflict("somebody was faster")
        return self._keep(key, json.loads(json.dumps(dict(obj))))

    def delete(self, kind: str, namespace: str, name: str, *, uid: str | None = None) -> None:
        if uid is not None and uid != self.objects[kind, name]["metadata"]["uid"]:
            raise api.Conflict("uid mismatch")
        self.objects.pop((kind, name), None)

    def collect(self) -> None:
        """Delete what belongs to a ModelDeployment that is gone, as the garbage collector does."""
        alive = {
            obj["metadata"]["uid"]
            for (kind, _), obj in self.objects.items()
            if kind == "ModelDeployment"
        }
        owners = {
            key: obj["metadata"].get("ownerReferences", [{}])[0].get("uid")
            for key, obj in self.objects.items()
        }
        self.objects = {
            key: obj
            for key, obj in self.objects.items()
            if owners[key] is None or owners[key] in alive
        }

    def _keep(self, key: tuple[str, str], obj: api.Object) -> api.Object:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = obj
        return copy.deepcopy(obj)


class Nothing:
    """An event store without events."""

    def position(self) -> answers.Position:
        return answers.Position("", 0)

    def of(self, identity: str) -> "Nothing":
        return self

    def cursor(self) -> int:
        return 0

    def pairs(self, deployment: str, **_: Any) -> tuple[int, answers.Pairs]:
        return 0, answers.Pairs(**dict.fromkeys(answers.Pairs.__dataclass_fields__, 0))

    def labelled(self, deployment: str, **_: Any) -> tuple[int, list[answers.LabelledAnswer]]:
        return 0, []

    def outcomes(self, deployment: str, **_: Any) -> tuple[int, list[answers.Outcome]]:
        return 0, []

    def exposure(self, deployment: str, **_: Any) -> tuple[int, list[answers.Exposure]]:
        return 0, []


@dataclass
class Counts:
    """A gateway with 200 requests between two looks, split as the HTTPRoute says."""

    cluster: Cluster
    now: float = 0.0
    away: errors.FairwayError | None = None
    reached: bool | None = True
    asked: list[int] = field(default_factory=list)  # indices of backends
    counts: dict[str, int] = field(default_factory=dict)
    _served: float = 0.0

    def sample(self, *, route: traffic.Route, **_: Any) -> traffic.Sample:
        if self.away is not None:
            raise self.away
        self._serve()
        arms = [
            traffic.ArmSample(requests=self.counts.get(name or "", 0), errors=0)
            for name in (route.stable, route.candidate)
        ]
        return traffic.Sample(
            at=self.now, epoch="one", route_version="", stable=arms[0], candidate=arms[1]
        )

    def answers(self, **asked: Any) -> bool | None:
        """Say whether the proxies have pods behind a backend; `reached` is what the test has them
        say."""
        if self.away is not None:
            raise self.away
        self.asked.append(asked["index"])
        return self.reached

    def ask(self, query: str, *, read: Any, at: float | None = None) -> tuple[Any, float]:
        """Answer `sum(requests{r="REVISION"})`; whatever else is asked for has no series."""
        if self.now != self._served:
            self._serve()
        found = [
            {"metric": {}, "value": [at, str(count)]}
            for name, count in self.counts.items()
            if query == f'sum(requests{{r="{name}"}})'
        ]
        return read(
            json.dumps(
                {"status": "success", "data": {"resultType": "vector", "result": found}}
            ).encode()
        ), self.now

    def _serve(self) -> None:
        self._served = self.now
        for name, share in shares(self.cluster).items():
            self.counts[name] = self.counts.get(name, 0) + round(200 * share)


def stamp(at: float) -> str:
    """Return the time as a status writes it, without what is below a second."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def shares(cluster: Cluster) -> dict[str, float]:
    """Return the share of each revision by the HTTPRoute, or by the predictors' weights where there
    is none."""
    found = cluster.objects.get(("HTTPRoute", NAME))
    predictors = cluster.objects.get(("SeldonDeployment", NAME))
    if found is None and predictors is not None:
        return {
            predictor["name"]: predictor["traffic"] / 100
            for predictor in predictors["spec"]["predictors"]
            if predictor["traffic"]
        }
    backends = found["spec"]["rules"][0]["backendRefs"] if found else []
    total = sum(backend["weight"] for backend in backends)
    return {
        backend["name"].removeprefix(f"{NAME}-"): backend["weight"] / total
        for backend in backends
        if backend["weight"]
    }


@dataclass
class World:
    """The cluster, its gateway, and one operator that may be replaced by a new one."""

    cluster: Cluster = field(default_factory=Cluster)
    now: float = 1_700_000_000.0  # what the clock on the wall says
    elapsed: float = 0.0  # since the machine began

    def __post_init__(self) -> None:
        self.counts = Counts(self.cluster)
        self.restart()

    def restart(
        self, *, evidence: Callable[[str], units.Evidence] = lambda namespace: Nothing()
    ) -> None:
        """A new operator, which remembers nothing."""
        gateway: Any = self.counts
        settings = OperatorSettings(server_image="server:1", templates=TEMPLATES)
        self.operator = Reconciler(
            self.cluster,
            settings,
            evidence=evidence,
            prometheus=gateway,
            source=clocks.Source(wall=lambda: self.now, monotonic=lambda: self.elapsed),
        )

    def ask(self, package: str, **spec: Any) -> None:
        """Write the spec, as `kubectl apply` does."""
        old = self.cluster.objects.get(("ModelDeployment", NAME), {})
        document = {
            "apiVersion": "fairway.dev/v1alpha1",
            "kind": "ModelDeployment",
            "status": old.get("status", {}),
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "uid": "u",
                "generation": old.get("metadata", {}).get("generation", 0) + 1,
            },
            "spec": {
                "model": {"uri": f"s3://models/{package}", "digest": f"sha256:{package * 64}"},
                "gateway": {"parentRefs": [{"name": "models"}]},
                "strategy": SHORT,
                **spec,
            },
        }
        self.cluster._keep(("ModelDeployment", NAME), document)

    def look(self, times: int = 1, *, until: str | None = None) -> dict[str, Any]:
        """Take looks, two seconds apart, until the phase and weight are `until`; return the status."""
        for _ in range(times if until is None else 200):
            self.counts.now = self.now
            self.operator.reconcile(NAMESPACE, NAME, now=self.now)
            self.pass_time(2.0)
            if until is not None and f"{self.status['phase']} {self.status['weight']}" == until:
                return self.status
        assert until is None, (
            f"stands at {self.status['phase']} {self.status['weight']}, not at {until}: {self.status['reason']}"
        )
        return self.status

    def patient(self) -> dict[str, Any]:
        """Take a look that may fail, as the loop does."""
        with contextlib.suppress(errors.FairwayError):
            self.look()
        self.pass_time(2.0)
        return self.status

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.elapsed += seconds

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.cluster.objects[("ModelDeployment", NAME)]["status"])

    @property
    def shares(self) -> dict[str, float]:
        return shares(self.cluster)
