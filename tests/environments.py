"""Environments beside the project's own, for programs whose libraries cannot live with ours: built
from a lock, once, then taken from a cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = Path.home() / ".cache" / "fairway" / "environments"


def built(lock: Path) -> Path:
    """Return the folder of the environment's programs, with what the lock pins and nothing else;
    named by what it is made from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(lock.read_bytes() + python.encode() + sys.base_prefix.encode())
    place = CACHE / f"{lock.stem}-{digest.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{lock.stem}.lock").open("w") as only:
        fcntl.flock(only, fcntl.LOCK_EX)  # two runs at once build it once
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            uv, environment = (
                str(Path(sys.executable).with_name("uv")),
                {**os.environ, "VIRTUAL_ENV": str(place)},
            )
            environment.pop("UV_PYTHON", None)
            subprocess.run(
                [uv, "venv", "--quiet", "--python", sys.executable, str(place)],
                env=environment,
                check=True,
            )
            subprocess.run(
                [
                    uv,
                    "pip",
                    "sync",
                    "--quiet",
                    "--require-hashes",
                    "--build-constraints",
                    str(lock),
                    str(lock),
                ],
                env=environment,
                check=True,
            )
            (place / "complete").touch()
    return place / "bin"
