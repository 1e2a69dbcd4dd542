"""Whose past requests a verb reads: those of the local platform, or a cluster's by its collector."""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from fairway import errors
from fairway.cli import operator, options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.monitoring import populations, stores, stretch
    from fairway.monitoring.eventstore import wire
    from fairway.monitoring.labelling import samples
    from fairway.monitoring.references import Shelf
    from fairway.platforms.kubernetes import api

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SECONDS = 15.0  # that a collector may take: a page of inputs may be megabytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class AskedOf:
    """What the configuration, --home, --on and --collector say together."""

    path: Path
    overrides: tuple[str, ...]
    root: Path
    where: options.Where
    collector: str | None
    token: Path | None
    certificates: Path | None

    def on_cluster(self, config: "sections.Config") -> bool:
        """Say whether a cluster's requests are meant."""
        meant = self.where.kind(config) == "kubernetes"
        if not meant and self.collector is not None:
            raise errors.UsageError(
                "--collector names a place in a cluster: add --on kubernetes, or set platform.kind to kubernetes"
            )
        return meant

    def line(self) -> "wire.Wire":
        """Return the way to the collector; raises UsageError where none is named."""
        from fairway.monitoring.eventstore import wire

        if self.collector is None:
            raise errors.UsageError(
                "--on kubernetes without --collector: wanted where the collector answers, such as "
                "http://127.0.0.1:8080 after `kubectl --namespace fairway-system port-forward "
                "service/fairway-collector 8080`"
            )
        return wire.Wire(
            url=self.collector,
            timeout_seconds=SECONDS,
            token=self.token,
            certificates=operator.certificates(
                self.certificates, token=self.token, collector=self.collector
            ),
        )


def origin(function: F) -> F:
    """Add the options that say whose requests are meant, as the argument `origin`."""

    @functools.wraps(function)
    def called(
        *args: Any,
        path: Path,
        overrides: tuple[str, ...],
        root: Path,
        where: options.Where,
        collector: str | None,
        collector_token: Path | None,
        collector_certificates: Path | None,
        **named: Any,
    ) -> Any:
        found = AskedOf(
            path=path,
            overrides=overrides,
            root=root,
            where=where,
            collector=collector,
            token=collector_token,
            certificates=collector_certificates,
        )
        return function(*args, origin=found, **named)

    wrapped = click.option(
        "--collector-certificates",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FOLDER",
        help="Instead of the token: tls.crt, tls.key and ca.crt, for https.",
    )(called)
    wrapped = click.option(
        "--collector-token",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FILE",
        help="On a cluster: the token of a service account that may read inputs, such as the monitor's.",
    )(wrapped)
    wrapped = click.option(
        "--collector",
        default=None,
        metavar="URL",
        help="On a cluster: where its collector answers.",
    )(wrapped)
    return cast(F, options.config(options.home(options.cluster(wrapped))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PastRequests:
    """The requests of one revision, and the shelf of its deployment."""

    past: "samples.Past"
    shelf: "Shelf"
    learnt: "Shelf"  # what its monitor keeps
    store: "stores.MonitorStore"
    reference: bool  # its package has rows that windows look like
    asked: "samples.DrawnFrom"
    reading: Callable[[], contextlib.AbstractContextManager[object]]  # one instant, where it can be
    writing: Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def served(deployment: str | None, origin: AskedOf) -> Iterator[PastRequests]:
    """Give the requests that are meant: of the stable revision, or of the one that is named."""
    from fairway.monitoring import stretch

    load = options.load_or_default if deployment else options.load
    config = load(origin.path, origin.overrides)
    text = deployment or config.name
    meant = stretch.asked(text)
    find = _on_cluster if origin.on_cluster(config) else _here
    with find(meant, text, config, origin) as found:
        yield found


@contextlib.contextmanager
def _here(
    meant: "stretch.Meant", text: str, config: "sections.Config", origin: AskedOf
) -> Iterator[PastRequests]:
    from fairway.monitoring import references
    from fairway.monitoring.eventstore import blobs, places
    from fairway.monitoring.labelling import samples
    from fairway.packaging import manifest

    always = dataclasses.replace(meant, since=-math.inf, until=math.inf)
    packages = _packages_here(always, text, root=_root(origin))
    if not packages:
        raise errors.UsageError(_no_such(meant, text))
    revision, folder = packages[0]
    package = manifest.load(folder)
    with contextlib.closing(places.to_read(options.open_home(origin.root).events)) as store:
        yield PastRequests(
            past=store.history,
            shelf=blobs.BlobShelf(
                blobs=store.blobs,
                namespace=config.namespace,
                deployment=meant.deployment,
                now=time.time(),
            ),
            learnt=references.local(origin.root, meant.deployment),
            store=store,
            reference="reference.npz" in package.files,
            asked=samples.DrawnFrom(
                meant=meant,
                namespace=config.namespace,
                revision=revision,
                schema=package.schema,
            ),
            reading=store.reading,
            writing=store.writing,
        )


@contextlib.contextmanager
def _on_cluster(
    meant: "stretch.Meant", text: str, config: "sections.Config", origin: AskedOf
) -> Iterator[PastRequests]:
    from fairway.monitoring.eventstore import distant
    from fairway.monitoring.labelling import samples
    from fairway.operator.fleet import packages
    from fairway.platforms.kubernetes import api

    line, namespace = origin.line(), origin.where.namespace or config.namespace
    always = dataclasses.replace(meant, since=-math.inf, until=math.inf)
    digests = _on(api.connect(origin.where.context), namespace, always)
    if not digests:
        raise errors.UsageError(_no_such(meant, text))
    revision, digest = digests[0]
    store = distant.Distant(line, namespace=namespace, deployment=meant.deployment)
    known = packages.read(store, revision=revision, digest=digest)

    @contextlib.contextmanager
    def following() -> Iterator[None]:
        store.follow()
        yield

    yield PastRequests(
        past=store.history,
        shelf=store.shelf,
        learnt=store.shelf,
        store=store,
        reference=bool(known.package.trained),
        asked=samples.DrawnFrom(
            meant=meant, namespace=namespace, revision=revision, schema=known.package.schema
        ),
        reading=contextlib.nullcontext,
        writing=following,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Revisions:
    """The revisions of a deployment that are meant, the newest first, and what they were asked."""

    past: "populations.PastInputs"
    namespace: str
    names: list[str]
    package_of: Callable[[str], "populations.Packaged"]


@contextlib.contextmanager
def revisions(
    meant: "stretch.Meant", text: str, config: "sections.Config", origin: AskedOf
) -> Iterator[Revisions]:
    """Give the revisions that are meant: the stable one, where nothing else is said."""
    if not origin.on_cluster(config):
        with _all_here(meant, text, config, origin) as found:
            yield found
        return
    from fairway.monitoring import populations
    from fairway.monitoring.eventstore import distant
    from fairway.operator.fleet import packages
    from fairway.platforms.kubernetes import api

    line, namespace = origin.line(), origin.where.namespace or config.namespace
    digests = dict(_on(api.connect(origin.where.context), namespace, meant))
    store = distant.Distant(line, namespace=namespace, deployment=meant.deployment)

    def package_of(revision: str) -> populations.Packaged:
        with packages.shown(store, revision=revision, digest=digests[revision]) as (made, here):
            where = f"its package {made.digest}"
            return populations.packaged(made, files=here, where=where)

    yield Revisions(
        past=store.history, namespace=namespace, names=list(digests), package_of=package_of
    )


@contextlib.contextmanager
def _all_here(
    meant: "stretch.Meant", text: str, config: "sections.Config", origin: AskedOf
) -> Iterator[Revisions]:
    from fairway.monitoring import populations
    from fairway.monitoring.eventstore import places
    from fairway.packaging import manifest

    folders = dict(_packages_here(meant, text, root=_root(origin, text)))
    with contextlib.closing(places.to_read(options.open_home(origin.root).events)) as store:
        yield Revisions(
            past=store.history,
            namespace=config.namespace,
            names=list(folders),
            package_of=lambda revision: populations.packaged(manifest.load(folders[revision])),
        )


def _root(origin: AskedOf, text: str | None = None) -> Path:
    """Return the local platform's place; raises UsageError where nothing was served there. `text` might
    have been a file."""
    root = origin.root
    if (root / "state.db").exists() and (root / "events.db").exists():
        return root
    if text is None:
        raise errors.UsageError(
            f"nothing was served in {root}: name the platform's place with --home, or begin with "
            "`fairway up`"
        )
    raise errors.UsageError(
        f"{errors.shortened(text)} is neither a file nor the folder of a package, and nothing was served "
        f"in {root}: name a file of rows, the platform's place with --home, or a cluster with --on kubernetes"
    )


def _packages_here(meant: "stretch.Meant", text: str, *, root: Path) -> list[tuple[str, Path]]:
    """Return the revisions that are meant, the newest first, and their packages."""
    options.need_posix()
    from fairway.platforms.local import state

    store = state.Store(root / "state.db")
    with contextlib.closing(store):
        deployment = store.deployment(meant.deployment)
        if deployment is None:
            names = ", ".join(one.name for one in store.deployments()) or "nothing"
            raise errors.UsageError(
                f"{text}: there is no deployment {meant.deployment} in {root}: it has {names}"
            )
        known = [
            (one.revision, Path(one.package)) for one in store.revisions(meant.deployment)[::-1]
        ]
    return _meant(known, meant, stable=deployment.state.stable)


def _on(server: "api.Api", namespace: str, meant: "stretch.Meant") -> list[tuple[str, str]]:
    """Return the revisions on a cluster that are meant, the newest first, and their digests. Those in
    service stand in the status, which a monitor may read too."""
    from fairway.platforms.kubernetes import client

    status = client.read(server, namespace, meant.deployment).get("status", {})
    arms = [status[arm] for arm in ("stable", "candidate") if status.get(arm, {}).get("digest")]
    serving = [(str(one["revision"]), str(one["digest"])) for one in arms]
    stable = status.get("stable", {}).get("revision")
    found = [] if meant.timed else _meant(serving, meant, stable=stable)
    if found:
        return found
    known = client.revisions(server, namespace, meant.deployment)
    return _meant([(one.name, one.model.digest) for one in known], meant, stable=stable)


def _meant(
    known: list[tuple[str, T]], meant: "stretch.Meant", *, stable: str | None
) -> list[tuple[str, T]]:
    if meant.revision is not None:
        return [one for one in known if one[0].startswith(meant.revision)]
    if meant.timed:
        return known
    return [one for one in known if one[0] == stable] or known


def _no_such(meant: "stretch.Meant", text: str) -> str:
    return f"{text}: {meant.deployment} has no such revision; `fairway status` shows them"
