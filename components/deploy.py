"""Deployment as a component: a side effect, so never cached, and asking twice changes nothing."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(config: str, package: str, home: str) -> str:
    """Asks the platform of the configuration to serve the package; gives the revision."""
    import json
    from pathlib import Path

    from fairway.config import schema
    from fairway.platforms import submit

    settings = schema.Config.model_validate(json.loads(config))
    return submit.deploy(settings, package=Path(package), home=Path(home))
