"""Which of our families can learn from which inputs. Without torch, for `fairway check` asks it too."""

from collections.abc import Collection


def unfit(family: str, *, inputs: Collection[str]) -> str | None:
    """Return why the family cannot learn from inputs of these names, None where it can."""
    if family == "convolutional" and "image" not in inputs:
        return f"training.family convolutional needs an image feature, the data has {', '.join(inputs)}: use tabular"
    if family == "tabular" and "image" in inputs:
        return "training.family tabular cannot use an image feature: use convolutional"
    return None
