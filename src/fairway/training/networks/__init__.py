"""The networks that a family of networks can train: one module for each, found by the entry-point
group `fairway.networks`.

A network's module has

    NETWORK          called with `section`, `shapes`, `cardinalities` and `outputs`, as `build` is; gives the
                     torch module, whose `forward` takes the graph inputs by name
    unfit(inputs)    why it cannot learn from graph inputs of these names, None where it can

It is imported when it is trained, never to check a configuration: torch may stand above.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from fairway import errors, plugins
from fairway.training.families import base


def build(
    section: base.NetworkTraining,
    *,
    shapes: Mapping[str, Sequence[int]],
    cardinalities: Sequence[int],
    outputs: int,
) -> nn.Module:
    """Return the section's network for graph inputs of these shapes of one row.

    `cardinalities` are those of the categories. Raises TrainingError where it takes no such inputs.
    """
    module = plugins.load("networks", section.network)
    why = module.unfit(shapes.keys())
    if why is not None:
        raise errors.TrainingError(why)
    made: nn.Module = module.NETWORK(
        section=section, shapes=shapes, cardinalities=cardinalities, outputs=outputs
    )
    return made
