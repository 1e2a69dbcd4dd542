"""Deployment as a component: a side effect, so never cached, and asking twice changes nothing."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(config: str, package: dsl.Input[dsl.Model], home: str) -> str:
    """Ask the platform of the configuration to serve the package; gives what to follow, the revision
    where only the controller can name it, the package's digest."""
    from pathlib import Path

    from fairway import artifacts
    from fairway.config import sections
    from fairway.packaging import lineage
    from fairway.platforms import choice

    folder = artifacts.folder_of(package.metadata, at=Path(package.path))
    return choice.deploy(
        sections.Config.model_validate_json(config),
        package=folder,
        home=Path(home),
        origin=lineage.origin(package.metadata),
    )
