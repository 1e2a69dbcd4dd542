"""The monitoring pipeline: drift of what is asked of the model in service, the decision by labels and
drift whether to retrain, and where it is `train` the way of the retraining pipeline.

For a schedule. Its decision is a named output: the dsl.If has a dsl.Else, since without one its branch
would be skipped without a word.
"""

from kfp import dsl

from components.monitoring.detect_drift import detect_drift
from components.retraining.decide_retraining import decide_retraining
from fairway.config import sections
from fairway.platforms import loop_steps
from pipelines import parts, settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources."""
    steps = parts.Steps(name=name, resources=resources, validated=True)

    @dsl.pipeline(
        name=name,
        description="detect drift, decide, and train a challenger where due",
        pipeline_config=settings.RUN,
    )
    def monitoring(
        config: str,
        before: str = "",
        after: str = "",
        p_value: float = 0.01,
        labels: str = "",
        compare_with: str = "",
        store: str = "",
        home: str = "",
        deploy_package: bool = True,
        watch: bool = False,
        fail_on_refusal: bool = False,
        commit: str = "",
        data: str = "",  # this and what follows: compiled.SHOWN
        training: str = "",
        evaluation: str = "",
        retraining: str = "",
        monitoring: str = "",
    ) -> None:
        with steps.reported(config):
            serving = steps.in_service(config, folder=compare_with, home=home)
            moved = detect_drift(
                config=config,
                champion=serving,
                home=home,
                before=before,
                after=after,
                p_value=p_value,
            )
            # asked twice by one run, it decides the same
            decided = steps.look(
                decide_retraining(
                    config=config,
                    champion=serving,
                    account=steps.look(moved).outputs["account"],
                    home=home,
                    run=parts.RUN,
                    labels=labels,
                )
            )
            with dsl.If(decided.outputs["decision"] == loop_steps.TRAIN, name="train-asked"):
                asked = parts.Asked(
                    store=store,
                    home=home,
                    deploy=deploy_package,
                    watch=watch,
                    fail_on_refusal=fail_on_refusal,
                    why=decided.outputs["reason"],
                    commit=commit,
                )
                steps.retrain(config, serving=serving, labels=labels, home=home, asked=asked)
            with dsl.Else(name="waited"):
                steps.tell(config, outcome="waited", reason=decided.outputs["reason"])

    return monitoring
