"""Where and how precisely to compute: decided from what the machine has. Pure."""

from dataclasses import dataclass

from fairway import errors
from fairway.training.families import base


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the machine has."""

    cuda: bool = False
    gpus: int = 0  # how many
    bfloat16: bool = False  # the GPU computes it natively
    mps: bool = False


@dataclass(frozen=True)
class Choice:
    """Where, and how precisely."""

    device: str  # cpu | cuda | mps
    precision: str  # float32 | bfloat16 | float16


def choose(section: base.NetworkTraining, *, machine: Machine) -> Choice:
    """Return the device and precision to use.

    Raises TrainingError where the configuration asks for what is not there.
    """
    present = {"cpu": True, "cuda": machine.cuda, "mps": machine.mps}
    device = section.device
    if device == "auto":
        device = "cuda" if machine.cuda else "mps" if machine.mps else "cpu"
    if not present[device]:
        raise errors.TrainingError(
            f"training.device is {device}, which this machine does not have: set it to auto or cpu"
        )
    _alone(section, device=device, machine=machine)
    precision = section.precision
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" and machine.bfloat16 else "float32"
    if precision == "float16" and device == "cpu":
        raise errors.TrainingError(
            "training.precision is float16, which the CPU is slow and wrong at: set it to auto or bfloat16"
        )
    return Choice(device, precision)


def _alone(section: base.NetworkTraining, *, device: str, machine: Machine) -> None:
    """Raise where the processes have no device each, or cannot speak with one another."""
    asked = f"training.processes is {section.processes}"
    if section.processes > 1 and device == "mps":
        raise errors.TrainingError(
            f"{asked}, and torch has no collective operations for mps: set training.device to cpu, or processes to 1"
        )
    if device == "cuda" and section.processes > machine.gpus > 0:
        raise errors.TrainingError(
            f"{asked}, and this machine has {machine.gpus} GPU{'s' * (machine.gpus > 1)}: wanted one process a GPU at "
            "most; ask for more (pipeline.train.gpu), or lower it"
        )
