"""Puts a model package where a cluster finds it: below the store's address, under its digest.

The manifest is written last: what it lists is there before it is, so that nobody finds half a package, and a
publication that was cut off is simply made again.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from fairway import addresses, artifacts, errors
from fairway.addresses import web
from fairway.config import sections
from fairway.packaging import lineage, manifest

NOTE = "package.json"  # of a run: where its package lies


def publish(
    folder: Path,
    *,
    store: str,
    environment: Mapping[str, str] = os.environ,
    claims: Path = addresses.CLAIMS,
    pause_seconds: float = addresses.PAUSE_SECONDS,
) -> str:
    """Return the address of the package in the store; one that is there already is left as it is.

    The package is verified first, and the manifest is read back afterwards. Raises UsageError for an
    address that takes no package, AddressError where the store refuses, Unavailable where it does not
    answer, PackageError for a package that was changed.
    """
    made = manifest.load(folder)
    uri = address(store, digest=made.digest)
    target = _open(uri, environment=environment, claims=claims)
    if _is_there(target, folder, pause_seconds=pause_seconds):
        return uri
    content = {name: folder / name for name in (*made.files, manifest.NAME)}
    addresses.put_all(target, content, pause_seconds=pause_seconds)
    if not _is_there(target, folder, pause_seconds=pause_seconds):
        raise errors.PackageError(
            f"{uri} does not give back what was put there: see who else writes to it"
        )
    return uri


def published(
    config: sections.Config,
    *,
    record: artifacts.Package,
    run: str = "",
    why: str = "",
    commit: str = "",
) -> dict[str, str]:
    """Put the package in the platform's store, where it has one and servers do not read this
    machine's folders; return its `digest`, its `folder` here, its `address` there, and its origin.
    The store remembers which package is the run's."""
    platform, remote = config.platform, config.platform.kind == "kubernetes"
    image = config.pipeline.image if remote else ""
    origin = lineage.Provenance(run=run, why=why, commit=commit, image=image)
    found = {"digest": record.digest, "folder": record.path, **origin.told()}
    if remote and platform.store is not None:
        found["address"] = publish(Path(record.path), store=platform.store)
        if run:
            note(platform.store, run=run, address=found["address"], digest=record.digest)
    return found


def note(
    store: str,
    *,
    run: str,
    address: str,
    digest: str,
    environment: Mapping[str, str] = os.environ,
    claims: Path = addresses.CLAIMS,
) -> None:
    """Write down in the store which package is the run's."""
    place = addresses.below(store, *_runs(run))
    target = _open(place, environment=environment, claims=claims)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / NOTE
        artifacts.write_json(file, {"address": address, "digest": digest})
        addresses.put_all(target, {NOTE: file})


def of_run(
    store: str,
    *,
    run: str,
    environment: Mapping[str, str] = os.environ,
    claims: Path = addresses.CLAIMS,
) -> tuple[str, str]:
    """Return address and digest of the package that a run put in the store; raises UsageError where
    it put none."""
    place = addresses.below(store, *_runs(run))
    target = addresses.folder(place, environment=environment, claims=claims)
    try:
        text = addresses.patiently(lambda: b"".join(target.chunks(NOTE)))
    except errors.MissingFile as error:
        raise errors.UsageError(
            f"run {run} put no package in {web.shown(store)}, or an earlier version of fairway did: there is no "
            f"{web.shown(place)}"
        ) from error
    found = json.loads(text)
    return found["address"], found["digest"]


def _runs(run: str) -> tuple[str, str]:
    return "runs", quote(run, safe="")


def address(store: str, *, digest: str) -> str:
    """Return where the package with that digest lies in the store."""
    return addresses.below(store, digest.removeprefix("sha256:"))


def _open(uri: str, *, environment: Mapping[str, str], claims: Path) -> addresses.WritableFolder:
    found = addresses.writable(uri, environment=environment, claims=claims)
    if found is None:
        raise errors.UsageError(
            f"{web.shown(uri)} takes no package: wanted s3://bucket/prefix, gs://bucket/prefix, "
            "oci://registry/repository, pvc://claim/folder or file:///folder"
        )
    return found


def _is_there(target: addresses.AnyFolder, folder: Path, *, pause_seconds: float) -> bool:
    """Say whether the store gives back the package's manifest, which was written after all it
    lists."""
    wanted = (folder / manifest.NAME).read_bytes()

    def is_same() -> bool:
        found = b""
        for chunk in target.chunks(manifest.NAME):
            found += chunk
            if len(found) > len(wanted):
                return False
        return found == wanted

    try:
        return addresses.patiently(is_same, pause_seconds=pause_seconds)
    except errors.AddressError:  # there is none, or the writing says what is wrong
        return False
