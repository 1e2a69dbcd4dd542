"""The training pipeline: import, prepare, tune, train, evaluate beside the champion, gate, then package,
deploy and watch, or record the refusal; its end is told.

The same compiled file runs on one machine (`fairway run training`) and on a cluster. Image, requests,
limits and GPUs are filled in from the configuration when a run is submitted
(fairway.pipelines.compiled); the second variant has a GPU for those who submit it by other means.
"""

from kfp import dsl

from components.data.import_data import import_data
from fairway.config import sections
from pipelines import parts, settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources; `resources.train.gpu` of 0 asks for no GPU."""
    steps = parts.Steps(name=name, resources=resources)

    @dsl.pipeline(
        name=name,
        description="import, prepare, train, evaluate, gate, package, deploy, watch",
        pipeline_config=settings.RUN,
    )
    def training(
        config: str,
        compare_with: str = "",
        store: str = "",
        home: str = "",
        deploy_package: bool = False,
        watch: bool = False,
        fail_on_refusal: bool = False,
        why: str = "",
        commit: str = "",
        data: str = "",  # this and what follows: compiled.SHOWN
        training: str = "",
        evaluation: str = "",
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
        with steps.reported(config):
            # its inputs name the data; they do not change when the data does
            brought = steps.look(import_data(config=config), hours=6)
            serving = steps.in_service(config, folder=compare_with, home=home)
            steps.challenge(config, rows=brought.outputs["rows"], serving=serving, asked=asked)

    return training
