"""The whole of `fairway.yaml`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from fairway.config import patterns
from fairway.config.sections.base import Section
from fairway.config.sections.data import DataOfSource
from fairway.config.sections.evaluation import Evaluation
from fairway.config.sections.monitoring import Monitoring
from fairway.config.sections.pipeline import Pipeline
from fairway.config.sections.platform import Platform
from fairway.config.sections.retraining import Retraining
from fairway.config.sections.rollout import Strategy
from fairway.config.sections.serving import Serving
from fairway.config.sections.training import Training, TrainingOfFamily


class Config(Section):
    """The whole of `fairway.yaml`."""

    # the sources are asked for their sections once a file is read
    model_config = ConfigDict(defer_build=True)

    name: Annotated[str, Field(pattern=patterns.NAME)] = "model"
    """Names the deployment, the package and the series in Prometheus."""
    namespace: Annotated[str, Field(pattern=patterns.NAME)] = "default"
    """The Kubernetes namespace; a label locally."""
    environment: Literal["local", "kind", "production"] = "local"
    """Which group of defaults the platform takes."""
    licence: str = "unspecified"
    """The licence of the model (SPDX), kept in its package."""
    data: DataOfSource
    training: TrainingOfFamily = Field(
        default_factory=Training.of, json_schema_extra={"default": {}}
    )
    evaluation: Evaluation = Evaluation()
    serving: Serving = Serving()
    strategy: Strategy = Field(default_factory=Strategy, json_schema_extra={"default": {}})
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    platform: Platform = Platform()
    pipeline: Pipeline = Pipeline()

    @model_validator(mode="after")
    def _redacted_are_features(self) -> "Config":
        for name in self.serving.events.redact:
            if name in self.data.ignore or name not in (self.data.features or (name,)):
                raise ValueError(
                    f"serving.events.redact names {name!r}, which data.ignore or data.features leaves out: wanted "
                    "features alone"
                )
        return self
