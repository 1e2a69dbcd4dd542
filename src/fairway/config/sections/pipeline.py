"""The `pipeline` section: what the steps on Kubernetes need."""

from collections.abc import Mapping
from typing import Annotated

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


class Pipeline(Section):
    """How the training pipeline runs."""

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
