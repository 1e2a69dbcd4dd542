"""What windows are held against, as files: the reference of a package, and what was learnt of a
deployment's traffic.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway import errors
from fairway import files as filesystem
from fairway.model.schema import Feature
from fairway.monitoring.detectors import base
from fairway.packaging import golden

log = logging.getLogger("fairway.monitoring.references")


def trained(
    package: Path, *, files: Mapping[str, Any], features: Sequence[Feature]
) -> dict[str, Any]:
    """Return the package's reference, images in their shape so that a finding names the place in
    the picture; empty where it has none."""
    if "reference.npz" not in files:
        log.warning("package %s has no reference.npz, its drift is not watched", package)
        return {}
    arrays = golden.read_reference(package / "reference.npz")
    shapes = {feature.name: feature.shape for feature in features if feature.shape}
    return {
        name: values.reshape(len(values), *shapes[name]) if name in shapes else values
        for name, values in arrays.items()
    }


def read(path: Path) -> dict[str, Any] | None:
    """Return what was learnt, None where there is nothing that can be read."""
    if not path.exists():
        return None
    try:
        return dict(golden.read_reference(path))
    except errors.PackageError as error:
        log.warning("it is learnt again: %s", error)
        return None


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write what was learnt, all of it or nothing; words as numpy's own, so that none is pickled."""
    plain = {
        name: values.astype(np.str_) if values.dtype.kind == "O" else values
        for name, values in arrays.items()
    }
    filesystem.write_bytes(path, golden.archived(plain))


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether two references have the same inputs in the same shapes."""
    shapes = [
        {
            name: (values.shape[1:], values.dtype.kind in "OUS")
            for name, values in arrays.items()
            if base.is_feature(name)
        }
        for arrays in (one, other)
    ]
    return shapes[0] == shapes[1]
