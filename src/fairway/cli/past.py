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
from fairway.cli import operator, options, shifts

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.monitoring import stretch
    from fairway.monitoring.eventstore import wire
    from fairway.monitoring.labelling import samples
    from fairway.monitoring.references import Shelf

F = TypeVar("F", bound=Callable[..., Any])
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
    on_cluster = origin.where.kind(config) == "kubernetes"
    if not on_cluster and origin.collector is not None:
        raise errors.UsageError(
            "--collector names a place in a cluster: add --on kubernetes, or set platform.kind to kubernetes"
        )
    find = _on_cluster if on_cluster else _here
    with find(meant, text, config, origin) as found:
        yield found


@contextlib.contextmanager
def _here(
    meant: "stretch.Meant", text: str, config: "sections.Config", origin: AskedOf
) -> Iterator[PastRequests]:
    from fairway.monitoring.eventstore import blobs, places
    from fairway.monitoring.labelling import samples
    from fairway.packaging import manifest

    root = origin.root
    if not (root / "state.db").exists() or not (root / "events.db").exists():
        raise errors.UsageError(
            f"nothing was served in {root}: name the platform's place with --home, or begin with "
            "`fairway up`"
        )
    always = dataclasses.replace(meant, since=-math.inf, until=math.inf)
    packages = shifts.served_packages(always, text, root=root)
    if not packages:
        raise errors.UsageError(
            f"{text}: {meant.deployment} has no such revision; `fairway status` shows them"
        )
    revision, folder = packages[0]
    with contextlib.closing(places.to_read(options.open_home(root).events)) as store:
        yield PastRequests(
            past=store.history,
            shelf=blobs.BlobShelf(
                blobs=store.blobs,
                namespace=config.namespace,
                deployment=meant.deployment,
                now=time.time(),
            ),
            asked=samples.DrawnFrom(
                meant=meant,
                namespace=config.namespace,
                revision=revision,
                schema=manifest.load(folder).schema,
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
    from fairway.platforms.kubernetes import api, client

    line = origin.line()
    namespace = origin.where.namespace or config.namespace
    found = client.read(api.connect(origin.where.context), namespace, meant.deployment)
    revision, digest = _revision(found.get("status", {}), meant, text)
    store = distant.Distant(line, namespace=namespace, deployment=meant.deployment)
    known = packages.read(store, revision=revision, digest=digest)

    @contextlib.contextmanager
    def following() -> Iterator[None]:
        store.follow()
        yield

    yield PastRequests(
        past=store.history,
        shelf=store.shelf,
        asked=samples.DrawnFrom(
            meant=meant, namespace=namespace, revision=revision, schema=known.package.schema
        ),
        reading=contextlib.nullcontext,
        writing=following,
    )


def _revision(status: Any, meant: "stretch.Meant", text: str) -> tuple[str, str]:
    """Return the revision that is meant, and its package's digest."""
    known = [status[arm] for arm in ("stable", "candidate") if status.get(arm, {}).get("digest")]
    for one in known:
        if meant.revision is None or one["revision"].startswith(meant.revision):
            return str(one["revision"]), str(one["digest"])
    names = ", ".join(one["revision"] for one in known) or "none yet"
    raise errors.UsageError(f"{text}: wanted a revision that is in service: {names}")
