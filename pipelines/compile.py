"""`python -m pipelines.compile [FOLDER]` writes the pipelines' YAML; a test holds the committed
files to it."""

import sys
import tempfile
from pathlib import Path

from kfp import compiler

from fairway import files
from fairway.config import sections
from fairway.pipelines import compiled, pitfalls
from pipelines import training

VARIANTS = {
    "training.yaml": ("fairway-training", sections.Pipeline()),
    "training-gpu.yaml": (
        "fairway-training-gpu",
        sections.Pipeline(train=sections.Resources(cpu="4", memory="16Gi", gpu=1)),
    ),
}


def write(folder: Path) -> None:
    """Compile every variant into `folder`; raises PlatformError for one that would fail silently."""
    for file, (name, resources) in VARIANTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / file
            compiler.Compiler().compile(
                training.pipeline(name=name, resources=resources), str(made)
            )
            pitfalls.require(compiled.read(made), environment="kind", what=file)
            files.write_bytes(folder / file, made.read_bytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
