"""The components of Kubeflow Pipelines by name, for pipelines of your own:

    from fairway import components

    trained = components.train(config=config, dataset=prepared.outputs["dataset"])

Each is loaded from its YAML when it is first named, so that importing this imports no kfp.
"""

from pathlib import Path
from typing import Any

from fairway import errors


def __getattr__(name: str) -> Any:
    """Return the kfp component of that name."""
    place = _places().get(name)
    if place is None:
        raise AttributeError(
            f"there is no component {name}: wanted one of {', '.join(sorted(_places()))}"
        )
    from fairway.pipelines import kubeflow  # kfp

    return globals().setdefault(name, kubeflow.component(place))


def __dir__() -> list[str]:
    return sorted(_places())


def _places() -> dict[str, Path]:
    """Return each component's YAML: of the installed package, else of the clone."""
    here = Path(__file__)
    for folder in (here.parent / "pipelines" / "components", here.parents[2] / "components"):
        found = {file.parent.name: file for file in folder.glob("*/*/component.yaml")}
        if found:
            return found
    raise errors.PlatformError(
        "the components' YAML is neither in the installed package nor in a clone: run "
        "`python -m components.catalogue` in a clone"
    )
