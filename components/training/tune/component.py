"""The search among settings as a component: the best are handed to `train`."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tune(
    config: str,
    dataset: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    trials: dsl.Output[dsl.Markdown],
) -> str:
    """Try the settings of `training.tune` on the training rows, judge them on the validation rows, and
    give the best as JSON for `train`; {} where nothing is to be tuned."""
    import json
    from pathlib import Path

    from fairway.pipelines import inputs
    from fairway.training import tune as stage

    found = stage.tune(
        inputs.settings(config).training,
        dataset=Path(dataset.path),
        tell=lambda line: print(f"progress: {line}"),
    )
    Path(trials.path).write_text(stage.page(found), encoding="utf-8")
    for name, value in stage.figures(found).items():
        metrics.log_metric(name, value)
    return json.dumps(found.best)
