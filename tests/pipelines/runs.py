"""Small runs of the training pipeline on digits."""

import dataclasses
import json
from pathlib import Path

from fairway.config import loader, sections
from fairway.pipelines import run, steps

TINY = (
    "name=digits",
    "data.source=digits",
    "data.target=digit",
    "data.limit=300",
    "training.family=convolutional",
    "training.epochs=2",
    "training.channels=[4]",
    "training.threads=1",
    "evaluation.gate.maxCalibrationError=1",
    "evaluation.gate.beatZeroRule=false",
)


@dataclasses.dataclass(frozen=True)
class Promoted:
    """A run that was let through: its record, its home, and what was told while it went on."""

    record: run.TrainingRun
    home: Path
    told: list[steps.Told]

    @property
    def package(self) -> Path:
        return Path(str(self.record.package))


def settings(*overrides: str) -> sections.Config:
    return loader.load(None, overrides=[*TINY, *overrides])


def written(config: sections.Config, file: Path) -> Path:
    """Return the file with the configuration as the platform hands it to a challenger."""
    file.write_text(json.dumps(config.model_dump(mode="json", by_alias=True)))
    return file


def promote(home: Path) -> Promoted:
    """A folder whose name has `python3` in it is the harder one: kfp writes over that word in a
    step's command."""
    told: list[steps.Told] = []
    record = run.run_training(
        settings(), home=home, champion=None, deploy=True, progress=told.append
    )
    return Promoted(record, home, told)
