"""The gate: whether a challenger may be packaged and deployed. Pure; the decision carries its reason."""

from fairway import artifacts
from fairway.config import schema


def decide(section: schema.Gate, *, evaluation: artifacts.Evaluation) -> artifacts.GateDecision:
    """Gives the decision: every check that the configuration asks for must pass."""
    checks = list(_checks(section, evaluation))
    failed = [check for check in checks if not check["passed"]]
    if failed:
        reason = "; ".join(f"{check['name']} is {check['value']:.4f}, wanted {check['wanted']}" for check in failed)
        return artifacts.GateDecision(promote=False, reason=reason, checks=tuple(checks))
    champion = evaluation.baselines.get("champion")
    against = f", the model in service {champion['accuracy']:.4f}" if champion else f", always the most frequent class {evaluation.baselines['zero_rule']['accuracy']:.4f}"
    return artifacts.GateDecision(promote=True, reason=f"all {len(checks)} checks passed: accuracy {evaluation.accuracy:.4f} on {evaluation.rows} rows{against}",
                                  checks=tuple(checks))


def _checks(section: schema.Gate, evaluation: artifacts.Evaluation) -> list[artifacts.Json]:
    checks = []
    if section.min_accuracy is not None:
        checks.append(_at_least("accuracy", evaluation.accuracy, section.min_accuracy, why="minAccuracy"))
    if section.beat_zero_rule:
        rule = evaluation.baselines["zero_rule"]
        # The loss decides where classes are so uneven that the rule is hard to beat in accuracy.
        passed = evaluation.accuracy > rule["accuracy"] or (evaluation.accuracy == rule["accuracy"] and evaluation.log_loss < rule["log_loss"])
        checks.append({"name": "accuracy", "value": evaluation.accuracy, "wanted": f"above {rule['accuracy']:.4f}, what the most frequent class reaches (beatZeroRule)",
                       "passed": passed})
    if section.max_calibration_error is not None:
        checks.append({"name": "calibration error", "value": evaluation.calibration_error, "wanted": f"at most {section.max_calibration_error} (maxCalibrationError)",
                       "passed": evaluation.calibration_error <= section.max_calibration_error})
    champion = evaluation.baselines.get("champion")
    if champion:
        limit = champion["accuracy"] - section.max_accuracy_drop
        checks.append(_at_least("accuracy", evaluation.accuracy, limit, why=f"the model in service reaches {champion['accuracy']:.4f}, maxAccuracyDrop {section.max_accuracy_drop}"))
    recent = evaluation.recent
    if recent and recent["champion_accuracy"] is not None:
        limit = recent["champion_accuracy"] - section.max_accuracy_drop
        checks.append(_at_least("accuracy on the newly labelled rows", recent["accuracy"], limit,
                                why=f"the model in service reaches {recent['champion_accuracy']:.4f} on those {recent['rows']}"))
    if section.min_slice_accuracy is not None:
        for row in evaluation.slices:
            if row["judged"]:
                checks.append(_at_least(f"accuracy where {row['slice']}", row["accuracy"], section.min_slice_accuracy, why="minSliceAccuracy"))
    return checks


def _at_least(name: str, value: float, limit: float, *, why: str) -> artifacts.Json:
    return {"name": name, "value": value, "wanted": f"at least {limit:.4f} ({why})", "passed": value >= limit}
