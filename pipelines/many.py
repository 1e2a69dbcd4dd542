"""Many models in one run: the training pipeline's steps for each configuration of a list, a bounded
number at a time. A segment is a configuration of its own.

The list comes when a run starts. A refusal is one configuration's own; a failure ends the loop, as Kubeflow
Pipelines has it.
"""

from typing import List

from kfp import dsl

from components.data.import_data import import_data
from fairway.config import sections
from pipelines import parts, settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources, `resources.parallel` configurations at a time."""
    steps = parts.Steps(name=name, resources=resources)

    @dsl.pipeline(
        name=name,
        description="the training pipeline for each configuration of a list",
        pipeline_config=settings.RUN,
    )
    def many(
        config: str,
        configs: List[str],
        store: str = "",
        home: str = "",
        compare_with: str = "",
        deploy_package: bool = False,
        watch: bool = False,
        fail_on_refusal: bool = False,
        why: str = "",
        commit: str = "",
    ) -> None:
        asked = parts.Asked(
            store=store,
            home=home,
            deploy=deploy_package,
            watch=watch,
            fail_on_refusal=fail_on_refusal,
            why=why,
            commit=commit,
        )
        with (
            steps.reported(config),
            dsl.ParallelFor(configs, parallelism=resources.parallel, name="each") as one,
        ):
            brought = steps.look(import_data(config=one), hours=6)
            serving = steps.in_service(one, folder=compare_with, home=home)
            steps.challenge(one, rows=brought.outputs["rows"], serving=serving, asked=asked)

    return many
