"""Network `embeddings`: an embedding for each category beside the numbers, then fully connected layers
(Guo & Berkhahn 2016)."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from fairway.training.families.base import NetworkTraining
from fairway.training.networks.base import dense


class Embeddings(nn.Module):
    """For numbers and categories, either of which may be absent."""

    def __init__(
        self,
        *,
        section: NetworkTraining,
        shapes: Mapping[str, Sequence[int]],
        cardinalities: Sequence[int],
        outputs: int,
    ) -> None:
        super().__init__()
        sizes = [min(32, (cardinality + 1) // 2) for cardinality in cardinalities]
        self.embeddings = nn.ModuleList(
            nn.Embedding(count, size) for count, size in zip(cardinalities, sizes, strict=True)
        )
        width = shapes.get("numbers", (0,))[0] + sum(sizes)
        self.head = dense(width, hidden=section.hidden, outputs=outputs, dropout=section.dropout)

    def forward(self, numbers: Tensor | None = None, categories: Tensor | None = None) -> Tensor:
        """Return the outputs, [n, outputs]."""
        parts = [] if numbers is None else [numbers]
        if categories is not None:
            parts += [embedding(categories[:, i]) for i, embedding in enumerate(self.embeddings)]
        result: Tensor = self.head(torch.cat(parts, dim=1))
        return result


NETWORK = Embeddings


def unfit(inputs: Collection[str]) -> str | None:
    if "image" not in inputs:
        return None
    return "training.network embeddings cannot use an image feature: use convolutions"
