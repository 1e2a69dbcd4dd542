"""The data stage as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(config: str, dataset: dsl.Output[dsl.Dataset]) -> None:
    """Read, checks and splits the rows, and fits the preprocessing."""
    import json
    from pathlib import Path

    from fairway.config import sections
    from fairway.data import prepare as stage

    settings = sections.Config.model_validate_json(config)
    record = stage.prepare(settings.data, out=Path(dataset.path))
    dataset.metadata.update(
        {"version": record.version, "source": record.source, "rows": json.dumps(record.rows)}
    )
