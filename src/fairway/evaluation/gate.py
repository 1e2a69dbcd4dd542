"""The gate: whether a challenger may be packaged and deployed. Pure; the decision carries its reason."""

from collections.abc import Iterator

from fairway import artifacts
from fairway.config import sections


def decide(section: sections.Gate, *, evaluation: artifacts.Evaluation) -> artifacts.GateDecision:
    """Return the decision: every check that the configuration asks for must pass; a value that is no number passes none."""
    checks = tuple(_checks(section, evaluation))
    failed = [
        f"{check['name']} is {check['value']:.4f}, wanted {check['wanted']}" for check in checks if not check["passed"]
    ]
    if failed:
        return artifacts.GateDecision(promote=False, reason="; ".join(failed), checks=checks)
    champion = evaluation.baselines.get("champion")
    against = (
        f"the model in service {champion['accuracy']:.4f}"
        if champion
        else f"always the most frequent class {evaluation.baselines['zero_rule']['accuracy']:.4f}"
    )
    passed = f"all {len(checks)} checks passed" if checks else "nothing is asked for"
    reason = f"{passed}: accuracy {evaluation.accuracy:.4f} on {evaluation.rows} rows, {against}"
    return artifacts.GateDecision(promote=True, reason=reason, checks=checks)


def _checks(section: sections.Gate, evaluation: artifacts.Evaluation) -> Iterator[artifacts.Json]:
    if section.min_accuracy is not None:
        yield _at_least("accuracy", evaluation.accuracy, section.min_accuracy, why="minAccuracy")
    if section.beat_zero_rule:
        yield _above_zero_rule(evaluation)
    if section.max_calibration_error is not None:
        limit = section.max_calibration_error
        yield _check(
            "calibration error",
            evaluation.calibration_error,
            f"at most {limit:g} (maxCalibrationError)",
            passed=evaluation.calibration_error <= limit,
        )
    yield from _against_champion(section, evaluation)
    if section.min_slice_accuracy is not None:
        for row in evaluation.slices:
            if row["judged"]:
                yield _at_least(
                    f"accuracy where {row['slice']}",
                    row["accuracy"],
                    section.min_slice_accuracy,
                    why="minSliceAccuracy",
                )


def _above_zero_rule(evaluation: artifacts.Evaluation) -> artifacts.Json:
    rule = evaluation.baselines["zero_rule"]
    # The loss decides where classes are so uneven that the rule is hard to beat in accuracy.
    passed = (evaluation.accuracy, -evaluation.log_loss) > (rule["accuracy"], -rule["log_loss"])
    return _check(
        "accuracy",
        evaluation.accuracy,
        f"above {rule['accuracy']:.4f}, what the most frequent class reaches (beatZeroRule)",
        passed=passed,
    )


def _against_champion(section: sections.Gate, evaluation: artifacts.Evaluation) -> Iterator[artifacts.Json]:
    champion, recent = evaluation.baselines.get("champion"), evaluation.recent
    if champion:
        yield _at_least(
            "accuracy",
            evaluation.accuracy,
            champion["accuracy"] - section.max_accuracy_drop,
            why=f"the model in service reaches {champion['accuracy']:.4f}, maxAccuracyDrop {section.max_accuracy_drop:g}",
        )
    if recent and recent["champion_accuracy"] is not None:
        yield _at_least(
            "accuracy on the newly labelled rows",
            recent["accuracy"],
            recent["champion_accuracy"] - section.max_accuracy_drop,
            why=f"the model in service reaches {recent['champion_accuracy']:.4f} on those {recent['rows']}",
        )


def _at_least(name: str, value: float, limit: float, *, why: str) -> artifacts.Json:
    return _check(name, value, f"at least {limit:.4f} ({why})", passed=value >= limit)


def _check(name: str, value: float, wanted: str, *, passed: bool) -> artifacts.Json:
    return {"name": name, "value": value, "wanted": wanted, "passed": passed}
