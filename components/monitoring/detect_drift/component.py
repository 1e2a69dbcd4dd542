"""Drift as a component: what moved between two populations, with its page."""

from typing import NamedTuple

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def detect_drift(
    config: str,
    champion: dsl.Input[dsl.Model],
    home: str,
    account: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    before: str = "",
    after: str = "",
    p_value: float = 0.01,
) -> NamedTuple("Drift", [("verdict", str), ("sentence", str)]):
    """Say what moved from `before` (empty: the reference of the package in service) to `after` (empty:
    its newest requests): rows at an address, a package, or what was served, such as income@500. The
    verdict is `drifted`, `same`, or `unserved` where nobody was seen to ask it yet."""
    from pathlib import Path

    from fairway.platforms import loop_steps

    return loop_steps.drift(
        config,
        asked={"before": before, "after": after, "p_value": p_value},
        champion=(champion.metadata, Path(champion.path)),
        home=Path(home),
        account=Path(account.path),
        report=Path(report.path),
        log=metrics.log_metric,
    )
