"""The batch prediction pipeline: the model in service answers every row of a file, without a server.

Rows come from an address and answers go to one, so that a schedule can name them once. The same
compiled file runs on one machine and on a cluster.
"""

from kfp import dsl

from components.serving.batch_predict import batch_predict
from fairway.config import sections
from pipelines import parts, settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources: batch prediction has those of evaluation."""
    steps = parts.Steps(name=name, resources=resources)

    @dsl.pipeline(
        name=name,
        description="the model in service answers every row of a file",
        pipeline_config=settings.RUN,
    )
    def batch(
        config: str,
        rows: str,
        to: str = "",
        keep: list = [],  # noqa: B006 - kfp reads it, and nobody changes it
        package: str = "",
        home: str = "",
    ) -> None:
        with steps.reported(config):
            serving = steps.in_service(config, folder=package, home=home)
            answered = batch_predict(config=config, package=serving, rows=rows, to=to, keep=keep)
            settings.bounded(settings.repeatable(answered), resources.evaluate, hours=24)
            settings.acting(answered)  # and the rows at an address are others tomorrow

    return batch
