"""The retraining pipeline: late labels join their requests as rows to learn from, these are held against
what the model in service knows, and a challenger must be better on the newest of them to be deployed.
"""

from kfp import dsl

from fairway.config import sections
from pipelines import parts, settings


def pipeline(*, name: str, resources: sections.Pipeline):  # type: ignore[no-untyped-def]
    """Return the pipeline with these resources."""
    steps = parts.Steps(name=name, resources=resources, validated=True)

    @dsl.pipeline(
        name=name,
        description="label, validate, prepare, train, evaluate, gate, package, deploy",
        pipeline_config=settings.RUN,
    )
    def retraining(
        config: str,
        labels: str = "",
        compare_with: str = "",
        store: str = "",
        home: str = "",
        deploy_package: bool = True,
        watch: bool = False,
        fail_on_refusal: bool = False,
        why: str = "",
        commit: str = "",
        data: str = "",  # this and what follows: compiled.SHOWN
        training: str = "",
        evaluation: str = "",
        retraining: str = "",
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
            serving = steps.in_service(config, folder=compare_with, home=home)
            steps.retrain(config, serving=serving, labels=labels, home=home, asked=asked)

    return retraining
