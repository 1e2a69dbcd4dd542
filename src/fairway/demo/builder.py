"""The process that trains the demo's models, and the packages that it builds."""

import json
import subprocess
import sys
from pathlib import Path

from fairway import errors
from fairway.platforms.local.home import Home


class BuiltPackages:
    """Packages as the training process builds them."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self._made: dict[str, Path] = {}

    def next(self, letter: str) -> Path:
        """Return the package of a model, waiting until it is built."""
        while letter not in self._made:
            line = self._process.stdout.readline() if self._process.stdout else ""
            if not line:
                words = self._log.read_text(errors="replace").strip().splitlines()[-1:] or [
                    "it said nothing"
                ]
                raise errors.TrainingError(f"model {letter} was not built: {words[0]}")
            made = json.loads(line)
            self._made[made["letter"]] = Path(made["path"])
        return self._made[letter]

    def __enter__(self) -> "BuiltPackages":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def begin(home: Home, *, out: Path, seed: int) -> BuiltPackages:
    """Start the training process; its packages come one by one."""
    home.make()
    log = home.logs / "models.log"
    argv = [
        sys.executable,
        "-m",
        "fairway.demo.models",
        "--store",
        str(home.packages),
        "--out",
        str(out),
        "--seed",
        str(seed),
    ]
    with log.open("ab") as errors_to:
        return BuiltPackages(
            subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=errors_to, stdin=subprocess.DEVNULL, text=True
            ),
            log,
        )
