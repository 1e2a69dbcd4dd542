"""The `pipeline` section: what the steps on Kubernetes need."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from fairway.config.sections.base import NAME, Section

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class Resources(Section):
    """What one pipeline step asks of its node."""

    cpu: str = "1"
    """As Kubernetes writes it."""
    memory: str = "2Gi"
    """As Kubernetes writes it."""
    gpu: Annotated[int, Field(ge=0, le=16)] = 0
    """`nvidia.com/gpu`; only training asks for one by default, in production."""


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
    environment: Annotated[Mapping[Variable, str], Field(max_length=64)] = {}
    """Variables of every step on Kubernetes, such as AWS_ENDPOINT_URL; no secrets. None by default."""
    secrets: Annotated[Mapping[Variable, SecretKey], Field(max_length=64)] = {}
    """Variables of every step that a Secret gives, such as `AWS_ACCESS_KEY_ID: {secret: bucket, key: access}`.
    None by default: a service account with a role of the cloud needs none."""
    service_account: Annotated[str, Field(pattern=NAME)] | None = None
    """Whom the steps run as; by default whom Kubeflow Pipelines takes, `pipeline-runner`."""
    notify: Notify = Notify()
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    """Of the pipeline `many`: how many configurations are trained at a time. Two fit beside what else
    a small cluster runs."""
