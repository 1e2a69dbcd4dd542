"""The manifest of a model package: what is in it, and the check that this is there, unchanged, and
nothing else."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fairway import artifacts, errors, files
from fairway.model.schema import Feature, Schema
from fairway.packaging import claims

NAME = "manifest.json"
FORMAT_VERSION = 1
LAYOUTS = ("named", "flat")
HEX = re.compile(r"[0-9a-f]{64}")
REQUIRED_FILES = ("model.onnx", "preprocessing.json", "schema.json", "golden.json")
LARGEST_MANIFEST = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A verified package: the directory, its digest, and what its manifest says."""

    path: Path
    digest: str
    name: str
    schema: Schema  # what the rows look like, and what is predicted
    layout: str  # named | flat
    lineage: artifacts.Json  # datasetVersion, source, data, codeVersion, configuration, seed, gate
    licence: str
    champion_digest: str | None
    champion_disagreement: float | None
    test_accuracy: float | None  # of classes
    test_loss: float | None  # mean loss of the test rows' answers
    files: dict[str, str]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Return the columns of the raw rows."""
        return self.schema.features

    @property
    def target(self) -> str:
        """Return the name of what is predicted."""
        return self.schema.target

    def record(self) -> artifacts.Package:
        """Return the record that travels between stages."""
        return artifacts.Package(
            path=str(self.path),
            digest=self.digest,
            name=self.name,
            task=self.schema.task,
            classes=self.schema.classes,
            dataset_version=str(self.lineage.get("datasetVersion") or ""),
            seed=self.lineage.get("seed"),
            champion_disagreement=self.champion_disagreement,
        )

    def facts(self) -> artifacts.Json:
        """Return what a rollout wants to know of the package."""
        return {
            "name": self.name,
            "digest": self.digest,
            "testAccuracy": self.test_accuracy,
            "testLoss": self.test_loss,
            "testLossBound": self._measured("loss_bound"),
            "championDigest": self.champion_digest,
            "championDisagreement": self._disagreement(),
        }

    def _disagreement(self) -> float | None:
        """Return how much the model may differ from the one in service by its own evaluation: the
        bound, not the figure, since that was measured on some hundred rows."""
        bound = self._measured("champion_disagreement_bound")
        return bound if bound is not None else self.champion_disagreement

    def _measured(self, key: str) -> float | None:
        """Return a share that the evaluation in the package states."""
        file = self.path / "evaluation.json"
        measured = document(file).get(key) if file.exists() else None
        return claims.fraction(measured, where=f"{file}: {key}")


def load(path: Path) -> Manifest:
    """Return the package in `path` after checking every file against its digest.

    Raises PackageError naming the file.
    """
    path = Path(path)
    manifest = read(path)
    if HEX.fullmatch(path.name) and f"sha256:{path.name}" != manifest.digest:
        raise errors.PackageError(
            f"{path / NAME} has the digest {manifest.digest}: wanted the one its folder is named by; package "
            "the model again"
        )
    _verify(manifest)
    return manifest


def read(path: Path) -> Manifest:
    """Return what the manifest in `path` says, of which nothing but its form was checked; the names
    it lists lie within the folder."""
    data = _read(path)
    try:
        digest = files.digest_bytes(files.canonical(data))
    # 1e999, or half of a character: JSON that has no one form in bytes
    except (RecursionError, ValueError) as error:
        raise errors.PackageError(
            f"{path / NAME} has no digest ({error}): package the model again"
        ) from error
    manifest = _parse(data, path=path, digest=digest)
    for name in manifest.files:
        _check_name(name, path)
    return manifest


def describe(
    *,
    name: str,
    schema: Schema,
    layout: str,
    lineage: artifacts.Json,
    licence: str,
    evaluation: artifacts.Evaluation | None,
    files: dict[str, str],
) -> artifacts.Json:
    """Return the manifest as it is written: no clock and no path of this machine, so that the same
    inputs give the same digest."""
    return {
        "formatVersion": FORMAT_VERSION,
        "name": name,
        **schema.to_json(),
        "layout": layout,
        "lineage": lineage,
        "licence": licence,
        "championDigest": evaluation.champion_digest if evaluation else None,
        "championDisagreement": evaluation.champion_disagreement if evaluation else None,
        "testAccuracy": evaluation.accuracy if evaluation else None,
        "testLoss": evaluation.loss if evaluation else None,
        "files": dict(sorted(files.items())),
    }


def document(file: Path) -> artifacts.Json:
    """Return the JSON object that a file of a package holds."""
    try:
        data = artifacts.read_json(file, strict=True)
    except (OSError, ValueError) as error:
        raise errors.PackageError(
            f"{file} is not JSON ({error}): package the model again"
        ) from error
    if not isinstance(data, dict):
        raise errors.PackageError(
            f"{file} holds a {type(data).__name__}: wanted an object; package the model again"
        )
    return data


def _read(path: Path) -> artifacts.Json:
    file = path / NAME
    if file.is_symlink() or not file.is_file():
        raise errors.PackageError(
            f"{path} has no {NAME}: wanted the folder of a model package, as `fairway package` writes it"
        )
    if file.stat().st_size > LARGEST_MANIFEST:
        raise errors.PackageError(
            f"{file} has {file.stat().st_size} bytes: wanted a manifest of at most {LARGEST_MANIFEST}"
        )
    data = document(file)
    if data.get("formatVersion") != FORMAT_VERSION:
        raise errors.PackageError(
            f"{file} has formatVersion {data.get('formatVersion')!r}: wanted {FORMAT_VERSION}; package the model again"
        )
    return data


def _parse(data: artifacts.Json, *, path: Path, digest: str) -> Manifest:
    try:
        claims.check(data, where=str(path / NAME))
        manifest = Manifest(
            path=path,
            digest=digest,
            name=data["name"],
            schema=Schema.from_json(data),
            layout=data["layout"],
            lineage=dict(data["lineage"]),
            licence=data["licence"],
            champion_digest=data["championDigest"],
            champion_disagreement=data["championDisagreement"],
            test_accuracy=data["testAccuracy"],
            test_loss=_test_loss(data),
            files=dict(data["files"]),
        )
    except KeyError as error:
        raise errors.PackageError(
            f"{path / NAME} has no {error.args[0]!r}: package the model again"
        ) from error
    except (TypeError, ValueError) as error:
        raise errors.PackageError(
            f"{path / NAME} is damaged ({error}): package the model again"
        ) from error
    if manifest.layout not in LAYOUTS:
        raise errors.PackageError(
            f"{path / NAME} has layout {manifest.layout!r}: wanted {' or '.join(LAYOUTS)}"
        )
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise errors.PackageError(
            f"{path / NAME} does not list {', '.join(missing)}: package the model again"
        )
    return manifest


def _test_loss(data: artifacts.Json) -> float | None:
    """Return the mean loss of the test rows' answers; an older package has their accuracy alone."""
    if data.get("testLoss") is None and data["testAccuracy"] is not None:
        return 1 - float(data["testAccuracy"])
    return data.get("testLoss")


def _verify(manifest: Manifest) -> None:
    for name, wanted in manifest.files.items():
        file = manifest.path / name
        if any(
            part.is_symlink()
            for part in (file, *file.parents)
            if part != manifest.path and manifest.path in part.parents
        ):
            raise errors.PackageError(
                f"{file} is a symbolic link: wanted a file of the package's own; package the model again"
            )
        if not file.is_file():
            raise errors.PackageError(
                f"{file} is missing: the manifest lists it; package the model again"
            )
        seen = files.digest_file(file)
        if seen != wanted:
            raise errors.PackageError(
                f"{file} has the digest {seen}: the manifest says {wanted}; package the model again"
            )
    extra = sorted(_walk(manifest.path) - {NAME, *manifest.files})
    if extra:
        raise errors.PackageError(
            f"{manifest.path / extra[0]} is not in the manifest: wanted only what it lists; delete it"
        )


def _check_name(name: Any, path: Path) -> None:
    pure = PurePosixPath(name) if isinstance(name, str) else None
    if (
        pure is None
        or pure.is_absolute()
        or ".." in pure.parts
        or "\\" in name
        or str(pure) != name
        or name in (".", "", NAME)
    ):
        raise errors.PackageError(
            f"{path / NAME} lists {name!r}: wanted a relative path within the package"
        )


def _walk(path: Path) -> set[str]:
    """Return the relative paths of everything that is no folder, links to folders included."""
    return {
        str(item.relative_to(path).as_posix())
        for item in path.rglob("*")
        if item.is_symlink() or not item.is_dir()
    }
