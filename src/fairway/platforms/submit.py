"""Asking whichever platform the configuration names to serve a package."""

import time
from pathlib import Path

from fairway.config import sections


def deploy(config: sections.Config, *, package: Path, home: Path) -> str:
    """Return what is asked for: here the revision, on a cluster the package's digest; asking again for the same changes nothing.

    On a cluster the package must lie in `platform.store` under its digest; the revision fails with a sentence where it does not.
    """
    if config.platform.kind == "kubernetes":
        return _deploy_on_kubernetes(config, package=package)
    from fairway.platforms.local import client
    from fairway.platforms.local.home import Home

    revision, _ = client.deploy(Home(home), package, config=config, note="training pipeline", now=time.time())
    return revision.revision


def _deploy_on_kubernetes(config: sections.Config, *, package: Path) -> str:
    from fairway.packaging import manifest
    from fairway.platforms.kubernetes import api, client, deployment

    made = manifest.load(package)
    asked = deployment.spec(config, uri=deployment.place(config, digest=made.digest), digest=made.digest)
    client.deploy(api.connect(), deployment.manifest(config.name, config.namespace, asked))
    return made.digest
