"""Network `convolutions`: convolutions with batch norm and pooling, then fully connected layers."""

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from fairway.training.families.base import NetworkTraining
from fairway.training.networks.base import dense

CHANNELS = (16, 32)  # of a family that says none: those that family `convolutional` begins with


class Convolutions(nn.Module):
    """For pictures of 8 by 8 and larger."""

    def __init__(
        self,
        *,
        section: NetworkTraining,
        shapes: Mapping[str, Sequence[int]],
        cardinalities: Sequence[int],
        outputs: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        depth, height, width = shapes["image"]
        for channel in getattr(section, "channels", CHANNELS):
            layers += [nn.Conv2d(depth, channel, 3, padding=1), nn.BatchNorm2d(channel), nn.ReLU()]
            depth = channel
            if min(height, width) >= 4:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = dense(
            depth * height * width,
            hidden=section.hidden,
            outputs=outputs,
            dropout=section.dropout,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the outputs, [n, outputs]."""
        result: Tensor = self.head(self.body(image))
        return result


NETWORK = Convolutions


def unfit(inputs: Collection[str]) -> str | None:
    if "image" in inputs:
        return None
    return f"training.network convolutions needs an image feature, the data has {', '.join(inputs)}: use embeddings"
