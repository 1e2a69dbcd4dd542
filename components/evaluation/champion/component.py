"""The model in service as a component: what a challenger is compared with."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(config: str, folder: str, home: str, package: dsl.Output[dsl.Model]) -> None:
    """Fetch the package of the revision in service (`folder` names another one; `none`: there is no
    champion), each file held against its digest."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.platforms import choice

    found = choice.champion(
        sections.Config.model_validate_json(config),
        named=folder,
        home=Path(home),
        out=Path(package.path),
    )
    said = {"folder": str(found.path), "digest": found.digest} if found else {}
    # a folder without a file is no artifact to a bucket
    artifacts.write_json(Path(package.path) / "champion.json", said)
    package.metadata.update(said)
