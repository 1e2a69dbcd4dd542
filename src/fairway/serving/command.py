"""How a model server is started: its command line and its environment, both ways. Pure; whoever
supervises only has to spawn."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fairway import __version__, errors
from fairway.config import sections

SERVICE = "fairway.serving.service:Service"
# what GET /v2 answers
SERVER = {"name": "fairway", "version": __version__, "extensions": ["binary_tensor_data"]}
# longer than a gateway keeps idle connections: it closes them, and no request meets a closed socket
KEEP_ALIVE_SECONDS = 75
DRAIN_SECONDS = 0.2  # between "not ready" and the closed door: what a gateway needs to see it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told through its environment."""

    package: Path
    deployment: str
    namespace: str
    revision: str
    collector: str
    token: Path | None  # file with the token that the collector knows this server by
    certificates: Path | None  # folder with the certificate that it knows this server by instead
    pod: str  # that the server is, which a certificate does not say
    spool: Path | None
    serving: sections.Serving
    drain_seconds: float


def argv(port: int, *, host: str = "127.0.0.1", target: str = SERVICE) -> list[str]:
    """Return the command that serves on `port`; `target` is the service, or the folder of a built
    Bento."""
    return [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        target,
        "--host",
        host,
        "--port",
        str(port),
        "--timeout-keep-alive",
        str(KEEP_ALIVE_SECONDS),
    ]


def environment(
    *,
    package: Path,
    deployment: str,
    namespace: str,
    revision: str,
    collector: str,
    spool: Path | None,
    serving: sections.Serving,
    home: Path,
    token: Path | None = None,
) -> dict[str, str]:
    """Return what to add to the environment; `home` is BentoML's folder, one a server, since each
    wipes the metrics in it."""
    return {
        "FAIRWAY_PACKAGE": str(package.absolute()),
        "FAIRWAY_DEPLOYMENT": deployment,
        "FAIRWAY_NAMESPACE": namespace,
        "FAIRWAY_REVISION": revision,
        "FAIRWAY_COLLECTOR": collector,
        "FAIRWAY_COLLECTOR_TOKEN": str(token.absolute()) if token else "",
        "FAIRWAY_SPOOL": str(spool.absolute()) if spool else "",
        "FAIRWAY_SERVING": json.dumps(
            serving.model_dump(mode="json", by_alias=True), sort_keys=True
        ),
        "BENTOML_HOME": str(home.absolute()),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "OTEL_SDK_DISABLED": "true",  # 44 % of BentoML's time
        "OMP_NUM_THREADS": "1",  # numpy's threads would fight the event loop for the core
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def read(environment: Mapping[str, str]) -> Settings:
    """Return the settings that `environment` was written from; raises ServingError naming the
    variable."""
    package = environment.get("FAIRWAY_PACKAGE", "")
    if not package:
        raise errors.ServingError(
            "FAIRWAY_PACKAGE is not set: wanted the folder of a model package, as `fairway package` writes it"
        )
    collector, certificates = (
        environment.get(f"FAIRWAY_COLLECTOR{of}", "") for of in ("", "_CERTIFICATES")
    )
    if certificates and not collector.startswith("https://"):
        raise errors.ServingError(
            f"FAIRWAY_COLLECTOR is {collector!r}: wanted https://..., for FAIRWAY_COLLECTOR_CERTIFICATES is set"
        )
    spool, token = (
        environment.get("FAIRWAY_SPOOL", ""),
        environment.get("FAIRWAY_COLLECTOR_TOKEN", ""),
    )
    return Settings(
        package=Path(package),
        deployment=environment.get("FAIRWAY_DEPLOYMENT", "model"),
        namespace=environment.get("FAIRWAY_NAMESPACE", "default"),
        revision=environment.get("FAIRWAY_REVISION", "unknown"),
        collector=collector,
        token=Path(token) if token else None,
        certificates=Path(certificates) if certificates else None,
        pod=environment.get("FAIRWAY_POD", ""),
        spool=Path(spool) if spool else None,
        serving=serving(environment),
        drain_seconds=_seconds(environment.get("FAIRWAY_DRAIN_SECONDS", str(DRAIN_SECONDS))),
    )


def serving(environment: Mapping[str, str]) -> sections.Serving:
    """Return the serving section, the defaults where none is set."""
    text = environment.get("FAIRWAY_SERVING") or "{}"
    try:
        return sections.Serving.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the value"
        raise errors.ServingError(
            f"FAIRWAY_SERVING: {key}: {first['msg']}; wanted the serving section as JSON"
        ) from error


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError as error:
        raise errors.ServingError(
            f"FAIRWAY_DRAIN_SECONDS is {text!r}: wanted a number of seconds"
        ) from error
