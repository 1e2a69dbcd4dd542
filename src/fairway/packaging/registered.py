"""Brings the ONNX graph of a model version that an MLflow registry holds.

A version of the flavor `onnx` is data. What other flavors load is a pickle, or code beside one,
which runs as whoever loads it: they are refused.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
import yaml

from fairway import addresses, errors
from fairway.config import documents
from fairway.packaging import fetch, manifest

DESCRIPTION, FLAVOR = "MLmodel", "onnx"
LARGEST_DESCRIPTION = 1 << 20


def bring(uri: str, *, out: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file of the version's graph in the folder `out`, with all its weights in it.

    Raises PackageError for a version without the flavor `onnx`, or whose graph is not whole.
    """
    place = addresses.folder(uri, environment=environment)

    def take(name: str, largest: int) -> Path:
        addresses.patiently(lambda: addresses.take(place, name, to=out / name, largest=largest))
        return out / name

    try:
        described = documents.parse(
            take(DESCRIPTION, LARGEST_DESCRIPTION).read_text(encoding="utf-8")
        )
    except (errors.MissingFile, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.PackageError(
            f"{uri} has no {DESCRIPTION} that can be read: wanted a model that `mlflow.onnx.log_model` logged"
        ) from error
    graph = take(_plain(_graph_of(described, uri=uri), uri=uri), fetch.LARGEST_PACKAGE)
    try:
        proto = onnx.load(graph, load_external_data=False)
        for location in _beside(proto):
            take(_plain(location, uri=uri), fetch.LARGEST_PACKAGE)
        onnx.load_external_data_for_model(proto, str(out))
        whole = out / "whole.onnx"
        whole.write_bytes(proto.SerializeToString())
    except (errors.MissingFile, ValueError, onnx.checker.ValidationError) as error:
        raise errors.PackageError(
            f"{uri}: its graph {graph.name} is not whole ({error}): log the model again"
        ) from error
    return whole


def fetched(uri: str, *, packages: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of a version that is a package, below `packages`; raises UsageError for one
    that is another model."""
    place = addresses.folder(uri, environment=environment)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / manifest.NAME
        try:
            addresses.patiently(
                lambda: addresses.take(
                    place, manifest.NAME, to=file, largest=manifest.LARGEST_MANIFEST
                )
            )
        except errors.MissingFile as error:
            raise errors.UsageError(
                f"{uri} is a model that is packaged first: `fairway package {uri} --schema FILE`, then `fairway deploy`"
            ) from error
        digest = manifest.read(file.parent).digest
    out = packages / digest.removeprefix("sha256:")
    return fetch.fetch(uri, digest=digest, out=out, environment=environment).path


def _graph_of(described: Any, *, uri: str) -> str:
    """Return the file of the flavor onnx."""
    flavors = described.get("flavors") if isinstance(described, dict) else None
    found = flavors.get(FLAVOR) if isinstance(flavors, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("data"), str):
        there = ", ".join(sorted(map(str, flavors))) if isinstance(flavors, dict) else "none"
        raise errors.PackageError(
            f"{uri} has the flavors {there}: wanted onnx, for what the others load may be a pickle, which runs code "
            "of whoever wrote it; log the model with mlflow.onnx.log_model, or export it to ONNX and `fairway "
            "package model.onnx --schema FILE`"
        )
    return str(found["data"])


def _beside(proto: "onnx.ModelProto") -> list[str]:
    """Return the names of the files that hold weights of the graph."""
    tensors = [
        one for one in proto.graph.initializer if onnx.external_data_helper.uses_external_data(one)
    ]
    named = [
        entry.value for one in tensors for entry in one.external_data if entry.key == "location"
    ]
    return list(dict.fromkeys(named))


def _plain(name: str, *, uri: str) -> str:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != name or "\\" in name:
        raise errors.PackageError(
            f"{uri} names the file {errors.shortened(repr(name))}: wanted one within the model's folder"
        )
    return name
