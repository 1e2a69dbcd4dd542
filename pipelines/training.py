"""The training pipeline: import, prepare, train, evaluate beside the champion, gate, then package,
deploy and watch, or record the refusal.

The same compiled file runs on one machine (`fairway run training`) and on a cluster. GPUs are asked
for by the second variant: Kubeflow Pipelines has no switch for an accelerator at run time. Image,
requests and limits are filled in from the configuration when a run is submitted
(fairway.pipelines.compiled).
"""

from kfp import dsl

from components.data.import_data import import_data
from components.data.prepare import prepare
from components.evaluation.champion import champion
from components.evaluation.evaluate import evaluate
from components.evaluation.gate import gate
from components.evaluation.refuse import refuse
from components.packaging.package import package
from components.rollout.deploy import deploy
from components.rollout.watch_rollout import watch_rollout
from components.training.train import train
from fairway.config import sections
from pipelines import settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources; `resources.train.gpu` of 0 asks for no GPU."""

    @dsl.pipeline(
        name=name, description="import, prepare, train, evaluate, gate, package, deploy, watch"
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
    ) -> None:
        brought = settings.repeatable(
            settings.bounded(import_data(config=config), resources.prepare, hours=6)
        )
        # its inputs name the data; they do not change when the data does
        brought.set_caching_options(False)
        prepared = settings.repeatable(
            settings.bounded(
                prepare(config=config, rows=brought.outputs["rows"]), resources.prepare, hours=6
            )
        )
        prepared.set_caching_options(False)  # a file of this machine is an input that is not seen
        serving = settings.repeatable(
            settings.bounded(
                champion(config=config, folder=compare_with, home=home), resources.prepare
            )
        )
        serving.set_caching_options(False)  # what serves is another one tomorrow
        trained = settings.repeatable(
            settings.bounded(
                train(config=config, dataset=prepared.outputs["dataset"]), resources.train, hours=24
            )
        )
        if resources.train.gpu:
            settings.accelerated(trained, resources.train.gpu)
        measured = settings.repeatable(
            settings.bounded(
                evaluate(
                    config=config,
                    champion=serving.outputs["package"],
                    dataset=prepared.outputs["dataset"],
                    model=trained.outputs["model"],
                ),
                resources.evaluate,
                hours=6,
            )
        )
        asked = settings.bounded(
            gate(config=config, evaluation=measured.outputs["evaluation"]), resources.prepare
        )
        with dsl.If(asked.outputs["Output"] == True, name="let-through"):  # noqa: E712 - a comparison that kfp compiles
            made = settings.bounded(
                package(
                    config=config,
                    store=store,
                    dataset=prepared.outputs["dataset"],
                    model=trained.outputs["model"],
                    evaluation=measured.outputs["evaluation"],
                    decision=asked.outputs["decision"],
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    why=why,
                    commit=commit,
                ),
                resources.prepare,
            )
            settings.acting(settings.repeatable(made))
            with dsl.If(deploy_package == True, name="deploy-asked"):  # noqa: E712
                asked_for = settings.bounded(
                    deploy(config=config, package=made.outputs["package"], home=home),
                    resources.prepare,
                )
                settings.acting(asked_for)
                with dsl.If(watch == True, name="watch-asked"):  # noqa: E712
                    settings.acting(
                        settings.bounded(
                            watch_rollout(config=config, revision=asked_for.output, home=home),
                            resources.prepare,
                            hours=48,
                        )
                    )
        with dsl.Else(name="refused"):
            settings.acting(
                settings.bounded(
                    refuse(decision=asked.outputs["decision"], fail=fail_on_refusal),
                    resources.prepare,
                )
            )

    return training
