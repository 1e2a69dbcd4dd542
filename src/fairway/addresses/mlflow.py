"""An MLflow server, and a version of a model in its registry as the folder that holds its artifacts:
models:/NAME/VERSION, or models:/NAME@ALIAS.

MLflow's REST API is asked with the standard library: a few questions need no client of thirty packages.
MLFLOW_TRACKING_URI says where; MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, who asks.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from fairway import errors
from fairway.addresses import web

SCHEME = "models"
NAMED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))")
API, PROXY = "api/2.0/mlflow", "api/2.0/mlflow-artifacts/artifacts"
PROXIED = "mlflow-artifacts"  # artifacts that the tracking server hands out itself


class MlflowServer:
    """What answers MLflow's REST API at an address; raises Unavailable and AddressError as the web
    does."""

    def __init__(self, url: str, *, authorization: str | None) -> None:
        self.url, self._authorization = url.rstrip("/"), authorization

    def get(self, what: str, **asked: str) -> dict[str, Any]:
        return self._answer(f"{what}?{urlencode(asked)}", method="GET")

    def post(self, what: str, **said: Any) -> dict[str, Any]:
        return self._answer(what, method="POST", body=json.dumps(said).encode())

    def put(self, artifact: str, file: Path) -> None:
        """Write the file in the place that an artifact's address names."""
        web.answered(
            self.folder(artifact), headers=self._headers(), method="PUT", body=file
        ).close()

    def folder(self, artifact: str) -> str:
        """Return the web address of what `mlflow-artifacts:/...` names."""
        return f"{self.url}/{PROXY}/{quote(urlsplit(artifact).path.strip('/'))}"

    def _answer(self, what: str, *, method: str, body: bytes = b"") -> dict[str, Any]:
        headers = {"content-type": "application/json", **self._headers()}
        url = f"{self.url}/{API}/{what}"
        response = web.answered(url, headers=headers, method=method, body=body)
        said: dict[str, Any] = json.loads(b"".join(web.body(response, url=url)))
        return said

    def _headers(self) -> dict[str, str]:
        return {"authorization": self._authorization} if self._authorization else {}


def names_model(text: str) -> bool:
    """Say whether the text is an address of a registry's model."""
    return text.startswith(f"{SCHEME}:/")


def name_of(uri: str) -> str:
    """Return the model's name; of what names no version the address itself."""
    found = NAMED.fullmatch(uri)
    return unquote(found["name"]) if found else uri


def place(uri: str, *, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the address of the version's artifacts, and the header that goes to it. Raises
    UsageError for what names no version or no server, AddressError where there is none."""
    found = NAMED.fullmatch(uri)
    if found is None:
        raise errors.UsageError(
            f"{uri!r} names no model version: wanted models:/NAME/VERSION or models:/NAME@ALIAS"
        )
    server = environment.get("MLFLOW_TRACKING_URI", "")
    if urlsplit(server).scheme not in ("http", "https"):
        raise errors.UsageError(
            f"{uri} lies in an MLflow registry: wanted MLFLOW_TRACKING_URI with its address, such as "
            "http://mlflow.models.svc:5000"
        )
    authorization = authorization_of(environment)
    asked = MlflowServer(server, authorization=authorization)
    name, version = unquote(found["name"]), found["version"]
    try:
        if version is None:
            said = asked.get("registered-models/alias", name=name, alias=found["alias"])
            version = str(said["model_version"]["version"])
        said = asked.get("model-versions/get-download-uri", name=name, version=version)
        there = str(said["artifact_uri"])
    except errors.AddressError as error:  # an alias that is not there is a 400
        raise errors.AddressError(
            f"{uri} is not in the registry of {web.shown(server)}, or not for you to read ({error}): see the model's "
            "versions and aliases there"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise errors.AddressError(
            f"{web.shown(server)} does not answer as MLflow does ({error!r}): wanted the address of a "
            "tracking server in MLFLOW_TRACKING_URI"
        ) from error
    parts = urlsplit(there)
    if parts.scheme == PROXIED:
        return asked.folder(there), authorization
    return there if parts.scheme else f"file://{there}", None


def authorization_of(environment: Mapping[str, str]) -> str | None:
    """Return the header that says who asks, None where the environment has no credentials."""
    token, user = (environment.get(f"MLFLOW_TRACKING_{name}") for name in ("TOKEN", "USERNAME"))
    if user:
        pair = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return f"Bearer {token}" if token else None
