"""The components of Kubeflow Pipelines by name, for pipelines of your own:

    from fairway import components

    trained = components.train(config=config, dataset=prepared.outputs["dataset"])

Each is loaded from its YAML when it is first named, so that importing this imports no kfp.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return the kfp component of that name."""
    from fairway.pipelines import compiled

    known = compiled.components()
    place = known.get(name)
    if place is None:
        raise AttributeError(f"there is no component {name}: wanted one of {', '.join(known)}")
    from fairway.pipelines import kubeflow  # kfp

    return globals().setdefault(name, kubeflow.component(place))


def __dir__() -> list[str]:
    from fairway.pipelines import compiled

    return [*compiled.components()]
