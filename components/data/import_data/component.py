"""The import stage as a component: what lies elsewhere becomes an artifact, whose content names it."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def import_data(config: str, rows: dsl.Output[dsl.Dataset]) -> None:
    """Bring the files that `data` names by address; files of this machine stay where they are."""
    from pathlib import Path

    from fairway.config import sections
    from fairway.data import importing

    settings = sections.Config.model_validate_json(config)
    brought = importing.bring(settings.data, out=Path(rows.path))
    rows.metadata.update({one["address"]: one["digest"] for one in brought})
