"""`python -m pipelines.compile [FOLDER]` writes the pipelines' YAML; a test holds the committed
files to it."""

import sys
import tempfile
from pathlib import Path

from kfp import compiler

from fairway import files
from fairway.config import sections
from fairway.pipelines import compiled, pitfalls
from pipelines import batch, many, monitoring, retraining, training

WITH_GPU = sections.Pipeline(train=sections.Resources(cpu="4", memory="16Gi", gpu=1))
VARIANTS = {
    "training.yaml": training.pipeline(name="fairway-training", resources=sections.Pipeline()),
    "training-gpu.yaml": training.pipeline(name="fairway-training-gpu", resources=WITH_GPU),
    "retraining.yaml": retraining.pipeline(
        name="fairway-retraining", resources=sections.Pipeline()
    ),
    "monitoring.yaml": monitoring.pipeline(
        name="fairway-monitoring", resources=sections.Pipeline()
    ),
    "many.yaml": many.pipeline(name="fairway-many", resources=sections.Pipeline()),
    "batch.yaml": batch.pipeline(name="fairway-batch", resources=sections.Pipeline()),
}


def write(folder: Path) -> None:
    """Compile every variant into `folder`; raises PlatformError for one that would fail silently."""
    for file, pipeline in VARIANTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / file
            compiler.Compiler().compile(pipeline, str(made))
            pitfalls.require(compiled.read(made), environment="kind", what=file)
            files.write_bytes(folder / file, made.read_bytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
