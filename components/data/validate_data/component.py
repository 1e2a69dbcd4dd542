"""The rows' validation as a component: red before anything is learnt from rows that are not fit."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_data(
    config: str,
    champion: dsl.Input[dsl.Model],
    rows: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    findings: dsl.Output[dsl.Markdown],
) -> None:
    """Hold the rows against the configuration and, where a model is in service, against what it
    knows; fails with one sentence where they are not fit to be learnt from."""
    from pathlib import Path

    from fairway.data import validate
    from fairway.pipelines import inputs

    record = inputs.validated(
        config, rows=Path(rows.path), champion=(champion.metadata, Path(champion.path))
    )
    Path(findings.path).write_text(validate.page(record), encoding="utf-8")
    for name, value in validate.figures(record).items():
        metrics.log_metric(name, value)
    validate.need(record)
