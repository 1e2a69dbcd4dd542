"""A version of a model in an MLflow registry, as the folder that holds its artifacts:
models:/NAME/VERSION, or models:/NAME@ALIAS.

MLflow's REST API is asked with the standard library: two questions need no client of thirty packages.
MLFLOW_TRACKING_URI says where; MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, who asks.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from fairway import errors
from fairway.addresses import web

SCHEME = "models"
NAMED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))")
API, PROXY = "api/2.0/mlflow", "api/2.0/mlflow-artifacts/artifacts"
PROXIED = "mlflow-artifacts"  # artifacts that the tracking server hands out itself


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
    server, authorization = server.rstrip("/"), _authorization(environment)
    name, version = unquote(found["name"]), found["version"]
    try:
        if version is None:
            asked = {"name": name, "alias": found["alias"]}
            said = _ask(server, "registered-models/alias", asked, authorization)
            version = str(said["model_version"]["version"])
        asked = {"name": name, "version": version}
        said = _ask(server, "model-versions/get-download-uri", asked, authorization)
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
        return f"{server}/{PROXY}/{quote(parts.path.strip('/'))}", authorization
    return there if parts.scheme else f"file://{there}", None


def _ask(
    server: str, what: str, asked: Mapping[str, str], authorization: str | None
) -> dict[str, Any]:
    headers = {"authorization": authorization} if authorization else {}
    url = f"{server}/{API}/{what}?{urlencode(asked)}"
    with web.answered(url, headers=headers) as response:
        said: dict[str, Any] = json.loads(response.read())
    return said


def _authorization(environment: Mapping[str, str]) -> str | None:
    token, user = (environment.get(f"MLFLOW_TRACKING_{name}") for name in ("TOKEN", "USERNAME"))
    if user:
        pair = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return f"Bearer {token}" if token else None
