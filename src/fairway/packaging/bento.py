"""Builds a Bento of a model package: the package, the service and fairway's own source in BentoML's
format. No network is needed.

bentoml serve HOME/bentos/income/0123456789ab        serves it
bentoml containerize income:0123456789ab     makes an image of it (that installs requirements: it needs a network)
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

from fairway import errors
from fairway.packaging import manifest

ENTRY = "fairway_bento"
REQUIREMENTS = (
    "bentoml",
    "httptools",
    "numpy",
    "onnxruntime",
    "orjson",
    "prometheus-client",
    "pydantic",
    "starlette",
    "uvicorn",
    "uvloop",
)
VERSION_LENGTH = 12

SERVICE = '''"""The service of this Bento: the model package beside this file, served by fairway."""

import os
from pathlib import Path

if not os.environ.get("FAIRWAY_PACKAGE"):
    os.environ["FAIRWAY_PACKAGE"] = str(Path(__file__).parent / "package")
os.environ.setdefault("FAIRWAY_DEPLOYMENT", {name!r})
os.environ.setdefault("FAIRWAY_REVISION", {version!r})

from fairway.serving.service import Service  # noqa: E402

__all__ = ["Service"]
'''


@dataclass(frozen=True, kw_only=True)
class Bento:
    """A Bento in BentoML's store."""

    tag: str  # name:version, the version is the start of the package's digest
    path: Path


def build(package: Path, *, home: Path) -> Bento:
    """Return the Bento of the package in `home`, a BENTOML_HOME; the one that is there already
    where it was built before."""
    made = manifest.load(package)
    version = made.digest.removeprefix("sha256:")[:VERSION_LENGTH]
    bento = Bento(
        tag=f"{made.name}:{version}", path=home.absolute() / "bentos" / made.name / version
    )
    if bento.path.is_dir():
        return bento
    with tempfile.TemporaryDirectory(prefix="fairway-bento-") as folder:
        _lay_out(Path(folder), made, version=version)
        _run(
            ["build", ".", "--version", version],
            home=home,
            folder=Path(folder),
            what=f"building the Bento {bento.tag}",
        )
    return bento


def tags(home: Path) -> list[str]:
    """Return the tags of the Bentos in `home`."""
    listed = _run(["list", "--output", "json"], home=home, what=f"listing the Bentos in {home}")
    return sorted(entry["tag"] for entry in json.loads(listed))


def _lay_out(folder: Path, made: manifest.Manifest, *, version: str) -> None:
    """Write the build context: what is in it is what is in the Bento."""
    shutil.copytree(made.path, folder / "package")
    source = Path(__file__).parents[1]
    shutil.copytree(source, folder / "fairway", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / f"{ENTRY}.py").write_text(
        SERVICE.format(name=made.name, version=version), encoding="utf-8"
    )
    bentofile = {
        "service": f"{ENTRY}:Service",
        "name": made.name,
        "include": ["*"],
        "labels": {
            "fairway.dev/package": made.digest.removeprefix("sha256:"),
            "fairway.dev/licence": made.licence,
        },
        "python": {
            "packages": [f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
            "lock_packages": False,
        },
    }
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile), encoding="utf-8")


def _run(arguments: list[str], *, home: Path, what: str, folder: Path | None = None) -> str:
    """Return the output of BentoML's command: a process of its own, since BentoML reads
    BENTOML_HOME when it is imported."""
    home.mkdir(parents=True, exist_ok=True)
    ours = {
        "BENTOML_HOME": str(home.absolute()),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": _python_path(),
    }
    environment = {**os.environ, **ours}
    for name in ("FAIRWAY_PACKAGE", "FAIRWAY_SERVING", "BENTO_PATH"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "bentoml", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise errors.PackageError(f"{what} failed with status {done.returncode}: {last[0]}")
    return done.stdout


def _python_path() -> str:
    return os.pathsep.join(
        path for path in (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")) if path
    )
