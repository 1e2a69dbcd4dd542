"""The `platform` section: where everything runs."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from fairway.config import patterns
from fairway.config.sections.base import NO_CREDENTIALS, Duration, Section


class LineageEvents(Section):
    """Where OpenLineage events of runs are sent."""

    url: Annotated[str, Field(pattern=patterns.ENDPOINT, max_length=900), NO_CREDENTIALS] | None = (
        None
    )
    """The endpoint, such as `http://marquez.lineage.svc:5000`; OPENLINEAGE_URL goes before it. None by default:
    nothing is sent."""
    api_key_file: Path | None = None
    """A file with the key that is sent as a bearer token; OPENLINEAGE_API_KEY goes before it. None by default."""


class Tracking(Section):
    """The MLflow server that runs are logged to."""

    url: Annotated[str, Field(pattern=patterns.ENDPOINT, max_length=900), NO_CREDENTIALS] | None = (
        None
    )
    """Its address, such as `http://mlflow.models.svc:5000`; MLFLOW_TRACKING_URI goes before it. None by default:
    nothing is sent."""
    registers: Annotated[bool, Field(alias="register")] = False  # pydantic has a `register`
    """Make a version of the registered model, named as the deployment, of each package that a run makes; off by
    default, since it copies the package to `platform.store` or to the server."""


class Platform(Section):
    """Where it runs."""

    kind: Literal["local", "kubernetes"] = "local"
    """One machine by default."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The gateway's port; 0 takes a free one."""
    scrape_interval: Duration = timedelta(seconds=1)
    """How often the controller reads the gateway's counts and decides."""
    store: Annotated[str, Field(pattern=patterns.STORE, max_length=900), NO_CREDENTIALS] | None = (
        None
    )
    """Where packages are put for a cluster, without the digest: `s3://bucket/prefix`,
    `gs://bucket/prefix`, `oci://registry/repository` or `pvc://claim/folder`."""
    gateways: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=317)], ...],
        Field(min_length=1, max_length=8),
    ] = ("models",)
    """On a cluster: the Gateways that requests come in by, each `name` or `namespace/name`."""
    hostnames: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)
    ] = ()
    """On a cluster: host names to answer to; those of the Gateway's listeners by default."""
    lineage: LineageEvents = LineageEvents()
    tracking: Tracking = Tracking()
