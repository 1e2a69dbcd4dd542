"""The custom resource's spec, `modeldeployments.fairway.dev/v1alpha1`: the one source of the CRD
and of what the operator reads.

The strategy and the serving section are those of `fairway.yaml`. Every string and list is bounded,
because the API server prices each rule by the longest value that could come.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fairway.config import patterns, sections

GROUP, VERSION, KIND, PLURAL = "fairway.dev", "v1alpha1", "ModelDeployment", "modeldeployments"
# annotation: {"verb": ..., "id": nonce, "by": ..., "why": ..., "force": true}
COMMAND = f"{GROUP}/command"
REVISION_LENGTH = 12  # a label holds 63 characters: a digest does not fit


class Model(sections.Section):
    """The package to serve."""

    uri: Annotated[
        str,
        Field(pattern=patterns.PACKAGE, max_length=1024),
        sections.NO_CREDENTIALS,
    ]
    """Where the package lies: `s3://bucket/prefix`, `gs://bucket/prefix`, `http(s)://host/folder`,
    `oci://registry/repository`, `pvc://claim/folder`, or `minio://bucket/key`, an artifact of
    Kubeflow Pipelines."""
    digest: Annotated[str, Field(pattern=patterns.DIGEST, max_length=71)]
    """The package's digest, which `fairway package` prints; the init step refuses any other
    content."""


class ParentRef(sections.Section):
    """A Gateway (or one of its listeners) that the route is attached to."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """The deployment's own namespace by default."""
    section_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """A listener of the Gateway; all of them by default."""


class Gateway(sections.Section):
    """Where requests come in."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8)]
    """As in an HTTPRoute."""
    hostnames: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)
    ] = ()
    """As in an HTTPRoute; those of the Gateway's listeners by default."""
    timeout: sections.Duration = sections.Serving().timeout
    """A request that takes longer is answered 504 by the gateway; a second after serving.timeout at
    the soonest, for the server's own 504 says more."""


class Counts(sections.Section):
    """Who counts a revision's requests where Envoy Gateway's own statistics do not: for other
    gateways, and for routing seldon.

    The queries are those of whoever runs the operator: its Prometheus holds every team's series.
    The arms are not scraped at one instant then, so the stated error rates hold approximately.
    """

    template: Annotated[str, Field(pattern=patterns.LABEL, max_length=63)]
    """A name of `operator.counts` of the chart, which gives the queries."""


class Scaling(sections.Section):
    """How many pods a revision has."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 2
    """Two by default: one may be drained while the other answers."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 6
    """The autoscaler's ceiling; equal to minReplicas there is no autoscaler."""
    cpu_utilization: Annotated[int, Field(ge=1, le=100)] = 70
    """Percent of the requested CPU at which the autoscaler adds a pod."""
    concurrency: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Requests in work per pod at which KEDA adds one, instead of CPU; needs KEDA and Prometheus.
    """

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"scaling.maxReplicas {self.max_replicas} is below scaling.minReplicas {self.min_replicas}"
            )
        return self


class JobRetraining(sections.Retraining):
    """When a challenger is trained: by a Job of the CronJob that is named."""

    cron_job: Annotated[str, Field(pattern=patterns.LABEL, max_length=52)] | (None) = None
    """A CronJob of the namespace, whose Job is made as `kubectl create job --from` makes one; it may
    be suspended. None: nothing is started, and a person is told."""


class Spec(sections.Section):
    """What `kubectl apply` of a ModelDeployment asks for."""

    model: Model
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """The server's image; the operator's default, taken once per revision: a chart upgrade changes
    no running revision."""
    runtime: Literal["bentoml", "seldon"] = "bentoml"
    """BentoML by default; Seldon is for clusters that already run it."""
    routing: Literal["gateway", "seldon"] = "gateway"
    """Gateway API by default, for both runtimes; `seldon` writes Seldon's own traffic and needs its
    ingress."""
    gateway: Gateway | None = None
    """Needed by routing gateway."""
    counts: Counts | None = None
    """Envoy Gateway's own statistics by default, which give both arms at one instant."""
    scaling: Scaling = Scaling()
    pod_template: dict[str, Any] = Field(default_factory=dict)
    """A PodTemplateSpec that is merged into ours: resources, GPUs, selectors, tolerations, service
    account, pull secrets."""
    serving: sections.Serving = sections.Serving()
    strategy: sections.Strategy = Field(
        default_factory=sections.Strategy, json_schema_extra={"default": {}}
    )
    monitoring: sections.Monitoring = sections.Monitoring()
    retraining: JobRetraining = JobRetraining()
    revision_history_limit: Annotated[int, Field(ge=1, le=10)] = 3
    """Revisions kept besides those in service: a late rollback needs the one before."""
    paused: bool = False
    """No new rollout begins while it is set; one in progress goes on (`fairway rollout pause` holds
    it), and what serves is kept."""

    @model_validator(mode="after")
    def _reachable(self) -> "Spec":
        if self.routing == "gateway" and self.gateway is None:
            raise ValueError(
                "routing gateway needs gateway.parentRefs: the Gateway that requests come in by"
            )
        if self.routing == "seldon" and self.runtime != "seldon":
            raise ValueError(
                "routing seldon needs runtime seldon: only a SeldonDeployment splits traffic by itself"
            )
        if self.routing == "seldon" and self.counts is None:
            raise ValueError(
                "routing seldon needs counts: the name of queries of a revision's requests and errors, for no "
                "gateway gives them"
            )
        if self.routing == "seldon" and self.strategy.shadow.enabled:
            raise ValueError(
                "routing seldon has no shadow stage, for its copies cannot be told from requests: set "
                "strategy.shadow.enabled to false, "
                "or use routing gateway"
            )
        return self


def route(spec: Spec) -> Gateway | None:
    """Return the gateway section with the timeout that the route has: a server answers its own 504
    sooner, so that a late answer is one failure, not two."""
    if spec.gateway is None:
        return None
    return spec.gateway.model_copy(
        update={"timeout": max(spec.gateway.timeout, spec.serving.timeout + timedelta(seconds=1))}
    )


def policy(spec: Spec) -> sections.Strategy:
    """Return the strategy; its guards count requests where queries give their counts, for only our
    gateways tell servers the arm that events need."""
    if spec.counts is None:
        return spec.strategy
    guards = tuple(guard.by_requests() for guard in spec.strategy.guards)
    return spec.strategy.model_copy(update={"guards": guards})


def revision(spec: Spec, *, image: str) -> str:
    """Return the 12 characters that name what could behave differently: package, image, pod
    template, serving section, runtime."""
    return fingerprint({"image": image} | identity(spec))


def identity(spec: Spec) -> dict[str, Any]:
    """Return all of a revision that the spec says by itself; where it came from and how it is
    rolled out are no part of it."""
    return {
        "digest": spec.model.digest,
        "podTemplate": spec.pod_template,
        "runtime": spec.runtime,
        "serving": spec.serving.model_dump(mode="json", by_alias=True),
    }


def fingerprint(value: Mapping[str, Any]) -> str:
    """Return a short digest of JSON values, equal for equal content."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:REVISION_LENGTH]
