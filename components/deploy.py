"""Deployment as a component: a side effect, so never cached, and asking twice changes nothing."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(config: str, package: dsl.Input[dsl.Model], home: str) -> str:
    """Ask the platform of the configuration to serve the package; gives the revision."""
    from pathlib import Path

    from fairway.config import sections
    from fairway.platforms import choice

    # on this machine; elsewhere the package travels in the artifact
    stored = Path(package.metadata["folder"])
    folder = stored if stored.is_dir() else Path(package.path) / stored.name
    return choice.deploy(
        sections.Config.model_validate_json(config), package=folder, home=Path(home)
    )
