"""The `pipeline` section: what the steps on Kubernetes need."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairway.config import patterns
from fairway.config.sections.base import Section

Variable = Annotated[str, Field(pattern=patterns.VARIABLE)]
Quantity = Annotated[str, Field(pattern=patterns.QUANTITY, max_length=20)]


class Toleration(Section):
    """A taint that a pod may run beside, as a pod's spec has it."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The taint's key."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """`Exists` takes any value of the key."""
    value: Annotated[str, Field(max_length=63)] = ""
    """Of the operator `Equal`; `Exists` has none."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """The usual one of nodes that are kept for some."""

    def as_kubernetes(self) -> dict[str, str]:
        """Return it as a pod's spec has it."""
        return {key: said for key, said in self.model_dump().items() if said}


class Resources(Section):
    """What one pipeline step asks of its node."""

    cpu: Quantity = "1"
    """As Kubernetes writes it: `2`, or `500m`."""
    memory: Quantity = "2Gi"
    """As Kubernetes writes it: `8Gi`."""
    gpu: Annotated[int, Field(ge=0, le=16)] = 0
    """Devices of the kind `accelerator`; only training asks for one by default, in production."""
    accelerator: Annotated[str, Field(pattern=patterns.RESOURCE, max_length=253)] = "nvidia.com/gpu"
    """The extended resource that `gpu` counts: whole GPUs, or a part by its name on your nodes, such as
    nvidia.com/mig-1g.10gb or nvidia.com/gpu.shared."""
    selector: Annotated[Mapping[str, str], Field(max_length=16)] = {}
    """Labels that the step's node must have, such as `nvidia.com/gpu.product: NVIDIA-H200`. None by default: any node
    with room."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the step may run beside; the accelerator's own, nvidia.com/gpu, is tolerated without."""


class SecretKey(Section):
    """A value of a Secret in the namespace that the steps run in."""

    secret: Annotated[str, Field(min_length=1, max_length=253)]
    """The Secret's name."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The key of the value in it."""


Outcome = Literal["failed", "refused", "waited", "succeeded"]


class Notify(Section):
    """Who is told how a run ended: a webhook, whose URL is a secret and stands nowhere here."""

    outcomes: Annotated[tuple[Outcome, ...], Field(min_length=1)] = ("failed", "refused")
    """Which ends are told: what a person has to look at. `waited`: nothing was to be retrained."""
    form: Literal["slack", "json"] = "slack"
    """`slack` is `{"text": ...}`, which Slack, Mattermost and Rocket.Chat take; `json` has the facts
    beside it, each under its name."""
    url: SecretKey | None = None
    """On a cluster: the key of a Secret that holds the URL, which the notify step alone is given. Here
    the variable FAIRWAY_WEBHOOK_URL, or FAIRWAY_WEBHOOK_URL_FILE with a file's name. Without any,
    nobody is told, and the step says so."""


class Pipeline(Section):
    """How the pipelines run."""

    image: str = "ghcr.io/fairway/pipeline:0.1.0"
    """The steps' image; pin it by digest in production."""
    prepare: Resources = Resources()
    train: Resources = Resources(cpu="2", memory="8Gi")
    evaluate: Resources = Resources()
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Pods that train a network together, each with what `train` asks for: more than one is a TrainJob of Kubeflow
    Trainer, which the cluster must have. 1: it needs nothing but Kubeflow Pipelines."""
    workspace: Annotated[str, Field(pattern=patterns.WORKSPACE, max_length=1024)] | None = None
    """Where the steps that train keep their state, so that a pod that was preempted goes on in another, and where
    several nodes meet, such as s3://bucket/training; a rule of the bucket may remove what is old. None by default: a
    step that is tried again trains anew."""
    runtime: Annotated[str, Field(pattern=patterns.NAME)] = "torch-distributed"
    """The ClusterTrainingRuntime of several nodes; by default the one that Kubeflow Trainer installs."""
    environment: Annotated[Mapping[Variable, str], Field(max_length=64)] = {}
    """Variables of every step on Kubernetes, such as AWS_ENDPOINT_URL; no secrets. None by default."""
    secrets: Annotated[Mapping[Variable, SecretKey], Field(max_length=64)] = {}
    """Variables of every step that a Secret gives, such as `AWS_ACCESS_KEY_ID: {secret: bucket, key: access}`.
    None by default: a service account with a role of the cloud needs none."""
    service_account: Annotated[str, Field(pattern=patterns.NAME)] | None = None
    """Whom the steps run as; by default whom Kubeflow Pipelines takes, `pipeline-runner`."""
    notify: Notify = Notify()
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    """Of the pipeline `many`: how many configurations are trained at a time. Two fit beside what else
    a small cluster runs."""

    @model_validator(mode="after")
    def _meets_somewhere(self) -> "Pipeline":
        if self.nodes > 1 and self.workspace is None:
            raise ValueError(
                f"nodes is {self.nodes} without workspace: wanted where they meet, such as s3://bucket/training"
            )
        return self
