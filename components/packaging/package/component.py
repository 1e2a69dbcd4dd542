"""The packaging stage as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def package(
    config: str,
    store: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    package: dsl.Output[dsl.Model],
    run: str = "",
    why: str = "",
    commit: str = "",
) -> str:
    """Build the content-addressed package in `store` (empty: in the artifact itself), put it where
    a cluster fetches it from as what `run` made, and give its folder. `why` the run began, and at
    which `commit`, goes with it."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.packaging import package as stage
    from fairway.packaging import publish

    settings = sections.Config.model_validate_json(config)
    made = artifacts.from_json(artifacts.GateDecision, artifacts.read_json(Path(decision.path)))
    record = stage.build(
        name=settings.name,
        dataset=Path(dataset.path),
        checkpoint=Path(model.path),
        config=settings,
        gate=made,
        evaluation=Path(evaluation.path) / "evaluation.json",
        out=Path(store or package.path),
    )
    package.metadata.update(
        publish.published(settings, record=record, run=run, why=why, commit=commit)
    )
    return record.path
