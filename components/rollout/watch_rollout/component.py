"""Following a rollout as a component: red where the judge rolls the revision back."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def watch_rollout(config: str, revision: str, home: str) -> str:
    """Wait until the rollout of what was asked for has ended, and give the judge's sentence; fails
    with it where the revision is rolled back."""
    from pathlib import Path

    from fairway.config import sections
    from fairway.platforms import choice

    return choice.watch(
        sections.Config.model_validate_json(config),
        revision=revision,
        home=Path(home),
        tell=lambda line: print(f"progress: {line}"),
    )
