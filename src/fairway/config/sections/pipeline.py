"""The `pipeline` section: what the steps on Kubernetes need."""

from typing import Annotated

from pydantic import (
    Field,
)

from fairway.config.sections.base import Section


class Resources(Section):
    """What one pipeline step asks of its node."""

    cpu: str = "1"
    """As Kubernetes writes it."""
    memory: str = "2Gi"
    """As Kubernetes writes it."""
    gpu: Annotated[int, Field(ge=0, le=16)] = 0
    """`nvidia.com/gpu`; only training asks for one by default, in production."""


class Pipeline(Section):
    """How the training pipeline runs."""

    image: str = "ghcr.io/fairway/pipeline:0.1.0"
    """The steps' image; pin it by digest in production."""
    prepare: Resources = Resources()
    train: Resources = Resources(cpu="2", memory="8Gi")
    evaluate: Resources = Resources()
