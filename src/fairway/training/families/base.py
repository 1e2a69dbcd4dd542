"""What a family is given, and what families of networks have in common."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from fairway import plugins
from fairway.config import sections

if TYPE_CHECKING:
    from fairway.data import splits  # pyarrow, which a section that is only checked does not need

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The machines of one training, and which of them this is."""

    count: int = 1
    rank: int = 0
    address: str = ""  # of the first one
    port: int = 29500  # torch's own


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: its data, and how it is watched and gone on with."""

    data: "splits.Splits"
    version: str  # of the dataset
    kept: Path  # where a state may lie from which a killed run is resumed
    resume: bool
    progress: Progress | None  # is told each epoch's row of the history
    nodes: Nodes = Nodes()


def _installed(network: str) -> str:
    networks = plugins.found("networks")
    if network not in networks:
        raise ValueError(f"wanted {' or '.join(networks)}")
    return network


Network = Annotated[str, AfterValidator(_installed)]


class NetworkTraining(sections.Training):
    """A network, by AdamW on a one-cycle schedule until the validation loss stops falling."""

    BUDGET: ClassVar[str] = "epochs"

    network: Network
    """The module of `fairway.training.networks`, or of an installed package, that is trained."""
    epochs: Annotated[int, Field(ge=1, le=10000)] = 30
    """Upper bound; early stopping usually ends before."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """64 fits small data; raise it with the rows."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-3
    """Peak of the one-cycle schedule; 3e-3 is safe for AdamW on networks of this size."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """AdamW's decay; its usual value for small networks."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    """Widths of the fully connected layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Before the last layer; 0.1 costs nothing and steadies small data."""
    patience: Annotated[int, Field(ge=1)] = 8
    """Epochs without a better validation loss before it stops."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes the accelerator that is there."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on GPUs that have it, float32 elsewhere."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of one machine that share each batch: one a GPU, or on CPUs with `threads` each. One
    by default: a small network gains less than starting them and summing gradients costs."""

    @property
    def most_epochs(self) -> int:
        return self.epochs

    @model_validator(mode="after")
    def _rows_for_each(self) -> "NetworkTraining":
        if self.batch_size < self.processes:
            raise ValueError(
                f"training.batchSize is {self.batch_size}: wanted a row for each of training.processes "
                f"({self.processes}) at least"
            )
        return self


def without_image(family: str, inputs: Collection[str]) -> str | None:
    """Return the sentence of a family that takes no pictures where there is one."""
    return (
        f"training.family {family} cannot use an image feature: use convolutional"
        if "image" in inputs
        else None
    )
