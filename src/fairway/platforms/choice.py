"""The one place that chooses between platforms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fairway import errors
from fairway.config import sections
from fairway.control.ports import End, PlatformPort, Tell
from fairway.packaging import fetch, lineage, manifest
from fairway.rollout.states import Phase


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


NO_CHAMPION = "none"


def deploy(
    config: sections.Config,
    *,
    package: Path,
    home: Path,
    origin: lineage.Provenance = lineage.UNKNOWN,
) -> str:
    """Ask the configuration's platform to serve the package; return the revision, on a cluster the
    package's digest.

    On a cluster the package must lie in `platform.store` under its digest; the revision fails with
    a sentence where it does not. Raises Refused for a package that was rolled back before.
    """
    asked = _of(config, home=home).deploy(
        config, package=package, note="training pipeline", origin=origin
    )
    if asked.refusal is not None:
        raise errors.Refused(asked.refusal)
    return asked.identity


def champion(
    config: sections.Config, *, named: str, home: Path, out: Path
) -> manifest.Manifest | None:
    """Return the package to compare a challenger with: the folder that is named, none for
    NO_CHAMPION, else what serves on the configuration's platform, fetched to `out`; None where
    nothing serves."""
    if named == NO_CHAMPION:
        return None
    if named:
        return manifest.load(Path(named))
    serves = _of(config, home=home).in_service(config.name, store=config.platform.store)
    if serves is None:
        return None
    folder = out / serves.digest.removeprefix("sha256:")
    return fetch.fetch(serves.address, digest=serves.digest, out=folder)


@dataclass(frozen=True, kw_only=True)
class StableRevision:
    """The revision in service, and whether no rollout is on its way."""

    revision: str | None
    settled: bool


def standing(config: sections.Config, *, home: Path) -> StableRevision:
    """Return what serves on the configuration's platform; no revision where nothing does."""
    port = _of(config, home=home)
    if port.in_service(config.name, store=config.platform.store) is None:
        return StableRevision(revision=None, settled=True)
    found = port.read(config.name).record
    settled = found["phase"] in (str(Phase.STABLE), str(Phase.ROLLED_BACK))
    return StableRevision(revision=found["stable"], settled=settled)


def watch(config: sections.Config, *, revision: str, home: Path, tell: Tell) -> str:
    """Wait until the rollout of what was asked for has ended, and return the judge's sentence.

    Raises Refused with it where the revision was rolled back, PlatformError where it cannot be
    followed or waits for a person.
    """
    ended = _of(config, home=home).follow(config.name, revision=revision, tell=tell)
    match ended.end:
        case End.ROLLED_BACK:
            raise errors.Refused(ended.sentence)
        case End.SERVES:
            return ended.sentence
    raise errors.PlatformError(f"the rollout of {config.name} is {ended.end}: {ended.sentence}")


def _of(config: sections.Config, *, home: Path) -> PlatformPort:
    return platform(config.platform.kind, home=home, namespace=config.namespace)
