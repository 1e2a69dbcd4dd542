"""What a configuration must be for steps that run elsewhere: a pod sees no file of this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from fairway import addresses, errors, files
from fairway.config import sections

STORES = ("s3", "gs", "oci", "pvc")
UPLOADS = "data"  # the folder of the store that data is put in, each file below its digest


def ready(config: sections.Config, *, deploys: bool, reads_data: bool = True) -> sections.Config:
    """Return the configuration as the steps need it: its platform is the cluster they run on.

    Raises UsageError for files of this machine, and for a package that nobody could fetch.
    """
    local = {**config.data.paths(), **{f"extra[{i}]": p for i, p in enumerate(config.data.extra)}}
    for key, path in local.items() if reads_data else ():
        raise errors.UsageError(
            f"data.{key} is {path}, a file of this machine, which no pod sees: wanted an address such as "
            "s3://bucket/rows.csv, https://host/rows.csv or pvc://claim/rows.csv; --upload puts it in platform.store"
        )
    for variable in config.data.variables():
        if variable not in {**config.pipeline.secrets, **config.pipeline.environment}:
            raise errors.UsageError(
                f"data.source is {config.data.source}, and no step has the variable {variable}: wanted a Secret that "
                f"gives it, pipeline.secrets: {{{variable}: {{secret: NAME, key: KEY}}}}"
            )
    store = config.platform.store
    if deploys and store is None:
        raise errors.UsageError(
            "platform.store is not set, and no server could fetch the package: wanted where packages are put, such as "
            "s3://bucket/models or pvc://claim/models"
        )
    if store is not None and store.partition("://")[0] not in STORES:
        raise errors.UsageError(
            f"platform.store is {store}, where no step can put a package: wanted s3://bucket/models, "
            "gs://bucket/models, oci://registry/repository or pvc://claim/models"
        )
    return config.model_copy(
        update={"platform": config.platform.model_copy(update={"kind": "kubernetes"})}
    )


def uploaded(
    config: sections.Config,
    *,
    environment: Mapping[str, str] = os.environ,
    pause_seconds: float = addresses.PAUSE_SECONDS,
) -> sections.Config:
    """Return the configuration with addresses where it named files of this machine, which are put in
    `platform.store` under their digests; one that is there already is not sent again."""
    found = {
        key: _put(path, config.platform.store, environment, pause_seconds)
        for key, path in config.data.paths().items()
    }
    return config.model_copy(update={"data": config.data.brought(found)})


def _put(
    path: Path, store: str | None, environment: Mapping[str, str], pause_seconds: float
) -> str:
    if not path.is_file():
        raise errors.UsageError(f"{path} is not there: wanted a file to upload")
    digest = files.digest_file(path).removeprefix("sha256:")
    folder = addresses.below(store, UPLOADS, digest) if store else ""
    place = addresses.writable(folder, environment=environment)
    if place is None:
        raise errors.UsageError(
            f"platform.store is {store}: --upload wants one that takes files, such as s3://bucket/models"
        )
    if not addresses.patiently(lambda: _starts(place, path.name), pause_seconds=pause_seconds):
        addresses.put_all(place, {path.name: path}, pause_seconds=pause_seconds)
    return f"{folder}/{quote(path.name)}"


def _starts(place: addresses.AnyFolder, name: str) -> bool:
    """Say whether there is such a file: stores write all of one or nothing."""
    try:
        return next(iter(place.chunks(name)), None) is not None
    except errors.MissingFile:
        return False
