"""The gate as a component: one boolean, and its reason kept beside it."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(
    config: str, evaluation: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact]
) -> bool:
    """Say whether the challenger may be packaged and deployed; the decision and its reason are
    written to `decision`."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.evaluation import gate as stage

    settings = sections.Config.model_validate_json(config)
    measured = artifacts.from_json(
        artifacts.Evaluation, artifacts.read_json(Path(evaluation.path) / "evaluation.json")
    )
    made = stage.decide(settings.evaluation.gate, evaluation=measured)
    artifacts.write_json(Path(decision.path), made)
    decision.metadata.update(
        {"promote": str(made.promote), "reason": made.reason, "notes": list(made.notes)}
    )
    return made.promote
