"""The decision to retrain as a component: `train` or `wait`, with its sentence."""

from typing import NamedTuple

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide_retraining(
    config: str,
    champion: dsl.Input[dsl.Model],
    account: dsl.Input[dsl.Artifact],
    home: str,
    run: str,
    labels: str = "",
) -> NamedTuple("Retraining", [("decision", str), ("reason", str)]):
    """Decide by the labels since the last look and the account of drift whether `run` trains a
    challenger; `retraining` says when. With a file of `labels` it waits for none of the store's.
    Compare the decision in a dsl.If that has a dsl.Else: without one, its branch is skipped without
    a word."""
    from pathlib import Path

    from fairway.platforms import loop_steps

    return loop_steps.decide(
        config,
        champion=(champion.metadata, Path(champion.path)),
        account=Path(account.path),
        home=Path(home),
        run=run,
        labels=labels,
    )
