"""The gate: whether a challenger may be packaged and deployed. Pure; the decision carries its
reason."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairway import artifacts
from fairway.config import sections
from fairway.model import metrics, tasks
from fairway.model.metrics import figure

LIKELY = 0.6  # of the resampled rows; on 336 some 5 % of models worse by 3 points pass
SMALL = 100  # below it four places after the point tell values apart, above it they hide the number


def decide(section: sections.Gate, *, evaluation: artifacts.Evaluation) -> artifacts.GateDecision:
    """Return the decision: every check that the configuration asks for must pass; a value that is
    no number passes none."""
    checks = tuple(_checks(section, evaluation))
    undecided = any(check.get("undecided") for check in checks)
    failed = [
        f"{check['name']} is {_shown(check['value'])}, wanted {check['wanted']}"
        for check in checks
        if not check["passed"]
    ]
    if failed:
        return artifacts.GateDecision(
            promote=False, reason="; ".join(failed), checks=checks, notes=evaluation.notes
        )
    task = tasks.named(evaluation.task)
    primary = task.metric(evaluation.primary)
    name, words = primary.name, primary.words
    champion = evaluation.baselines.get("champion")
    rule = evaluation.baselines["zero_rule"]
    against = (
        f"the model in service {_shown(champion[name])}"
        if champion
        else f"{task.rules['zero_rule']} {_shown(rule[name])}"
    )
    passed = f"all {len(checks)} checks passed" if checks else "nothing is asked for"
    reason = (
        f"{passed}: {words} {_shown(evaluation.metrics[name])} on {evaluation.rows} rows, {against}"
    )
    if undecided:
        reason += (
            "; these rows do not tell it from the model in service within worstDrop "
            f"{section.worst_drop:g}: its shadow and canary decide"
        )
    return artifacts.GateDecision(
        promote=True, reason=reason, checks=checks, notes=evaluation.notes, undecided=undecided
    )


def _checks(section: sections.Gate, evaluation: artifacts.Evaluation) -> Iterator[artifacts.Json]:
    primary = tasks.named(evaluation.task).metric(evaluation.primary)
    value = evaluation.metrics[primary.name]
    if section.threshold is not None:
        yield _within(primary, value, section.threshold, why="threshold")
    if section.beat_zero_rule:
        yield _above_zero_rule(evaluation)
        if evaluation.different == 1:
            wanted = "more than one: it says the same of every row, as a rule does (beatZeroRule)"
            yield _check("different answers", 1.0, wanted, passed=False)
    # on the newest rows the world may have moved for both: only which of them is better counts
    limit = None if section.better else section.max_calibration_error
    if limit is not None and "calibration_error" in evaluation.metrics:
        error = evaluation.metrics["calibration_error"]
        wanted = f"at most {limit:g} (maxCalibrationError)"
        yield _check("calibration error", error, wanted, passed=error <= limit)
    yield from _against_champion(section, evaluation)
    if section.slice_threshold is not None:
        for row in evaluation.slices:
            if row["judged"]:
                where = f" where {row['slice']}"
                yield _within(
                    primary,
                    row[primary.name],
                    section.slice_threshold,
                    why="sliceThreshold",
                    where=where,
                )


def _above_zero_rule(evaluation: artifacts.Evaluation) -> artifacts.Json:
    """Compare by every metric in turn: the next one decides where the first is hard to beat, as
    with uneven classes."""
    task = tasks.named(evaluation.task)
    rule, primary = evaluation.baselines["zero_rule"], task.metric(evaluation.primary)
    compared = {name: value for name, value in evaluation.metrics.items() if name in rule}
    passed = task.rank(compared, by=primary) > task.rank(rule, by=primary)
    reached = task.rules["zero_rule"].removeprefix("always ")
    side = "above" if primary.better == "high" else "below"
    wanted = f"{side} {_shown(rule[primary.name])}, what {reached} reaches (beatZeroRule)"
    return _check(primary.words, evaluation.metrics[primary.name], wanted, passed=passed)


def _against_champion(
    section: sections.Gate, evaluation: artifacts.Evaluation
) -> Iterator[artifacts.Json]:
    primary = tasks.named(evaluation.task).metric(evaluation.primary)
    champion, recent = evaluation.baselines.get("champion"), evaluation.recent
    if section.better:
        yield _better(primary, evaluation)
        return
    if champion and evaluation.paired:
        yield _paired(section, primary, evaluation.metrics, evaluation.paired)
    elif champion:
        theirs = champion[primary.name]
        why = f"the model in service reaches {_shown(theirs)}, maxDrop {section.max_drop:g}"
        yield _within(
            primary,
            evaluation.metrics[primary.name],
            primary.worse(theirs, by=section.max_drop),
            why=why,
        )
    if recent and evaluation.paired_recent:
        where = " on the newly labelled rows"
        yield _paired(section, primary, recent, evaluation.paired_recent, where=where)
    elif recent and None not in (recent[primary.name], recent[f"champion_{primary.name}"]):
        theirs = recent[f"champion_{primary.name}"]
        yield _within(
            primary,
            recent[primary.name],
            primary.worse(theirs, by=section.max_drop),
            why=f"the model in service reaches {_shown(theirs)} on those {recent['rows']}",
            where=" on the newly labelled rows",
        )


def _better(metric: metrics.Metric, evaluation: artifacts.Evaluation) -> artifacts.Json:
    """Compare with the model in service where only a better one may take its place; where rows
    belong together the figures alone are compared."""
    champion, paired = evaluation.baselines.get("champion"), evaluation.paired
    value = evaluation.metrics[metric.name]
    wanted = "better than the model in service (gate.better), which "
    if not champion or champion.get(metric.name) is None:
        wanted += "did not answer these rows"
        return _check(metric.words, value, wanted, passed=False)
    theirs = champion[metric.name]
    is_better = value > theirs if metric.better == "high" else value < theirs
    wanted += f"reaches {_shown(theirs)} on the same {evaluation.rows} rows"
    if paired is None:
        return _check(metric.words, value, wanted, passed=is_better)
    wanted += f"; better on {paired['better']:.0%} of resampled rows, wanted more than {LIKELY:.0%}"
    return _check(metric.words, value, wanted, passed=is_better and paired["better"] > LIKELY)


def _paired(
    section: sections.Gate,
    metric: metrics.Metric,
    measured: Mapping[str, Any],
    paired: artifacts.Json,
    *,
    where: str = "",
) -> artifacts.Json:
    """Compare with the model in service by the same rows: refused where it is surely worse and by
    more than is allowed, undecided where it may be worse than may be."""
    low, high, drop = paired["low"], paired["high"], paired["drop"]
    refused = low > 0 and drop > section.max_drop
    wanted = (
        f"no more than {section.max_drop:g} worse than the model in service (maxDrop); on "
        f"{paired['rows']} rows it is {drop:+.4f} worse, from {low:+.4f} to {high:+.4f}"
    )
    check = _check(f"{metric.words}{where}", measured[metric.name], wanted, passed=not refused)
    undecided = not refused and high > max(section.worst_drop, section.max_drop)
    return {**check, "undecided": undecided}


def _within(
    metric: metrics.Metric, value: float, limit: float, *, why: str, where: str = ""
) -> artifacts.Json:
    high = metric.better == "high"
    wanted = f"at {'least' if high else 'most'} {_shown(limit)} ({why})"
    return _check(
        f"{metric.words}{where}", value, wanted, passed=value >= limit if high else value <= limit
    )


def _check(name: str, value: float, wanted: str, *, passed: bool) -> artifacts.Json:
    return {"name": name, "value": value, "wanted": wanted, "passed": passed}


def _shown(value: float) -> str:
    return f"{value:.4f}" if abs(value) < SMALL else figure(value)
