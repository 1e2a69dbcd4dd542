"""The data stage as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(
    config: str,
    rows: dsl.Input[dsl.Dataset],
    dataset: dsl.Output[dsl.Dataset],
    configuration: dsl.Output[dsl.Artifact],
) -> None:
    """Read, check and split the rows, and fit the preprocessing; the whole `configuration` goes with the
    run as an artifact."""
    import json
    from pathlib import Path

    from fairway.config import sections
    from fairway.data import importing
    from fairway.data import prepare as stage

    settings = sections.Config.model_validate_json(config)
    Path(configuration.path).write_text(settings.model_dump_json(by_alias=True, indent=2))
    section = importing.brought(settings.data, folder=Path(rows.path))
    record = stage.prepare(section, out=Path(dataset.path))
    dataset.metadata.update(
        {"version": record.version, "source": record.source, "rows": json.dumps(record.rows)}
    )
