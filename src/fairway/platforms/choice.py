"""The one place that chooses between platforms."""

from pathlib import Path
from typing import Literal

from fairway.config import sections
from fairway.control.ports import PlatformPort


def platform(
    kind: Literal["local", "kubernetes"], *, home: Path, namespace: str, context: str | None = None
) -> PlatformPort:
    """Return the platform.

    `home` is the local platform's directory, `namespace` and `context` name a place in a cluster.
    """
    if kind == "kubernetes":
        from fairway.platforms.kubernetes import api
        from fairway.platforms.kubernetes.rollouts import ClusterPlatform

        return ClusterPlatform(lambda: api.connect(context), namespace=namespace)
    from fairway.platforms.local.home import Home
    from fairway.platforms.local.rollouts import LocalPlatform

    return LocalPlatform(Home(home))


def deploy(config: sections.Config, *, package: Path, home: Path) -> str:
    """Ask the configuration's platform to serve the package; return the revision, on a cluster the
    package's digest.

    On a cluster the package must lie in `platform.store` under its digest; the revision fails with
    a sentence where it does not.
    """
    chosen = platform(config.platform.kind, home=home, namespace=config.namespace)
    return chosen.deploy(config, package=package, note="training pipeline").identity
