"""What a package says of itself, held against what can be true: whoever wrote it is not who serves
it."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from fairway import artifacts, errors
from fairway.model import kinds, tasks

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LONGEST_NAME = 256  # characters of a class or a feature
MOST_MISSING = 100  # words that stand for a missing value


def check(manifest: Mapping[str, Any], *, where: str) -> None:
    """Raise PackageError naming the first thing in the manifest that cannot be."""
    for key in ("name", "task", "target", "layout", "licence"):
        _text(manifest[key], where=f"{where}: {key}", empty=key == "target")
    if manifest["task"] not in tasks.found():
        _refuse(f"{where}: task", manifest["task"], tasks.listed())
    refused = tasks.named(manifest["task"]).refuse(manifest)
    if refused:
        key, seen, wanted = refused
        _refuse(f"{where}: {key}", seen, wanted)
    features = manifest["features"]
    if not isinstance(features, list) or not features:
        _refuse(f"{where}: features", features, "a list of features")
    for number, feature in enumerate(features):
        _feature(feature, where=f"{where}: features[{number}]")
    _names(
        [feature["name"] for feature in features],
        where=f"{where}: the features' names",
        most=len(features),
    )
    fraction(manifest["championDisagreement"], where=f"{where}: championDisagreement")
    fraction(manifest["testAccuracy"], where=f"{where}: testAccuracy")
    fraction(manifest.get("testLoss"), where=f"{where}: testLoss")
    _digest(manifest["championDigest"] or "sha256:" + "0" * 64, where=f"{where}: championDigest")
    if not isinstance(manifest["lineage"], dict) or not isinstance(manifest["files"], dict):
        _refuse(
            f"{where}: lineage and files",
            [manifest["lineage"], manifest["files"]],
            "an object each",
        )
    for name, digest in manifest["files"].items():
        _digest(digest, where=f"{where}: files: {errors.shortened(name)}")


def fraction(value: Any, *, where: str) -> float | None:
    """Return a share from 0 to 1, or None where it was not measured."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:  # so that NaN is refused too
        _refuse(where, value, "a share from 0 to 1, or null where it was not measured")
    return float(value)


def _feature(feature: Any, *, where: str) -> None:
    if not isinstance(feature, dict) or feature.get("kind") not in list(kinds.found()):
        _refuse(where, feature, f"an object with a name and a kind, {kinds.listed()}")
    _text(feature.get("name"), where=f"{where}: name")
    refused = kinds.named(feature["kind"]).refuse(feature)
    if refused:
        key, seen, wanted = refused
        _refuse(f"{where}: {key}", seen, wanted)
    _reading(feature, where=where)


def _reading(feature: Mapping[str, Any], *, where: str) -> None:
    """Refuse what cannot be said of how a feature's values are written."""
    missing, notation = feature.get("missing", []), feature.get("notation", "")
    plain = (
        isinstance(missing, list)
        and len(missing) <= MOST_MISSING
        and artifacts.is_plain(missing, kinds={str})
    )
    if not plain or any(len(word) > LONGEST_NAME for word in missing):
        _refuse(
            f"{where}: missing",
            missing,
            f"at most {MOST_MISSING} words of {LONGEST_NAME} characters",
        )
    notations = kinds.named(feature["kind"]).notations
    if notation not in notations:
        _refuse(f"{where}: notation", notation, f"one of {', '.join(map(repr, notations))}")


def _names(names: Any, *, where: str, most: int) -> None:
    if (
        not isinstance(names, list)
        or not 1 <= len(names) <= most
        or not artifacts.is_plain(names, kinds={str})
        or len(set(names)) < len(names)
    ):
        _refuse(where, names, f"1 to {most} different names")
    for name in names:
        _text(name, where=where)


def _text(value: Any, *, where: str, empty: bool = False) -> None:
    if not isinstance(value, str) or not (empty or value) or len(value) > LONGEST_NAME:
        _refuse(where, value, f"text of at most {LONGEST_NAME} characters")


def _digest(value: Any, *, where: str) -> None:
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        _refuse(where, value, "sha256: and 64 hexadecimal digits")


def _refuse(where: str, value: Any, wanted: str) -> NoReturn:
    raise errors.PackageError(
        f"{where} is {errors.shortened(repr(errors.excerpt(value)))}: wanted {wanted}; package the model again"
    )
