"""Batch prediction as a component: a file's rows answered without a server."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def batch_predict(
    config: str,
    package: dsl.Input[dsl.Model],
    rows: str,
    to: str,
    keep: list,
    answers: dsl.Output[dsl.Dataset],
) -> int:
    """Answer every row of the csv or Parquet file at the address `rows` with the package, write the
    answers (Parquet) to the artifact and, where it is not empty, to the address `to`; the columns
    `keep` go with them. Gives how many rows were answered."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.pipelines import batch_prediction

    record = batch_prediction.answer_address(
        artifacts.need_folder_of(package.metadata, at=Path(package.path)),
        rows=rows,
        to=to,
        out=Path(answers.path),
        keep=keep,
        lenient=sections.Config.model_validate_json(config).serving.lenient,
    )
    answers.metadata.update(artifacts.as_json(record))
    return record.rows
