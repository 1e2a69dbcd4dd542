"""The evaluation stage as a component; its numbers, confusion matrix and page are drawn by the
Kubeflow Pipelines UI."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    config: str,
    champion: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classes: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Measure the model on the test split, beside the baselines and the champion, where there
    is one."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.evaluation import measure

    record = measure.evaluate(
        sections.Config.model_validate_json(config).evaluation,
        dataset=Path(dataset.path),
        checkpoint=Path(model.path),
        champion=artifacts.folder_of(champion.metadata, at=Path(champion.path)),
        out=Path(evaluation.path),
    )
    for name, value in record.metrics.items():
        metrics.log_metric(name, value)
    if record.confusion:
        classes.log_confusion_matrix(
            [row["class"] for row in record.per_class], [*map(list, record.confusion)]
        )
    Path(report.path).write_bytes((Path(evaluation.path) / "report.html").read_bytes())
