"""What `fairway rollout explain` shows of a rollout's evidence, wherever it runs."""

from typing import TYPE_CHECKING, Any

from fairway.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairway.config import sections
    from fairway.control.ports import Deployed
    from fairway.rollout.states import State


def explained(deployed: "Deployed") -> tuple[dict[str, Any], str]:
    """Return all that is known of a rollout as a record, and as text."""
    from fairway import errors

    if deployed.state is None:
        raise errors.PlatformError(deployed.unreadable or "")
    found, text = evidence(deployed.state, deployed.policy, approximate=deployed.approximate)
    stands = f"{deployed.record['phase']}: {deployed.record['reason']}"
    tables = (options.table(list(map(dict, rows))) for rows in deployed.tables)
    return {**deployed.record, **found, **deployed.details}, "\n".join(
        filter(None, [stands, text, *tables])
    )


def evidence(
    state: "State", policy: "sections.Strategy", *, approximate: str = ""
) -> tuple[dict[str, Any], str]:
    """Return the evidence and the promise as a record, and as text; `approximate` says why the
    promise does not hold to the letter.
    """
    from fairway.rollout import judge

    verdict = state.verdict
    found = (
        judge.describe(state.ledger, strategy=policy)
        if state.ledger
        else (verdict.evidence if verdict else {})
    )
    promise = judge.qualified(
        (verdict.guarantee if verdict else "") or judge.guarantee(policy), approximate
    )
    suspended, unfair = (verdict.suspended, verdict.unfair) if verdict else ((), ())
    combined = found.get("combined", {})
    text = "\n".join(
        filter(
            None,
            [
                options.table([_row(bet, row) for bet, row in found.items() if "candidate" in row]),
                *(
                    f"{bet}: in are {_came_in(row['cameIn'])}"
                    for bet, row in found.items()
                    if "cameIn" in row
                ),
                f"all guards together: ln e = {combined.get('logE')} of {combined.get('needed')} needed to roll back"
                if combined
                else None,
                f"guilty by itself: {', '.join(combined['guilty'])}"
                if combined.get("guilty")
                else None,
                f"suspended, because stable is beyond its objective too: {', '.join(suspended)}"
                if suspended
                else None,
                f"not judged, because their labels or outcomes are no lottery: {', '.join(unfair)}"
                if unfair
                else None,
                promise,
            ],
        )
    )
    return {
        "evidence": found,
        "guarantee": promise,
        "suspended": list(suspended),
        "unfair": list(unfair),
    }, text


def harm(state: "State") -> float | None:
    """Return ln e of the evidence that the last rollout's revision does harm; None where it has
    none."""
    if state.ledger is not None:
        return state.ledger.harm
    found = (state.verdict.evidence if state.verdict else {}).get("combined", {}).get("logE")
    return float(found) if found is not None else None


def listed(found: "Sequence[Deployed]", *, rate: float) -> tuple[dict[str, Any], str]:
    """Return the deployments as a record and as text, with a mark at those that can be said to do
    harm.

    Of those that are marked, at most `rate` are expected to do none, whichever and however many
    they are and whenever one looks (e-BH).
    """
    from fairway.rollout import judge
    from fairway.rollout.statistics import betting

    deployments = [_with_harm(one) for one in found]
    approximate = next((one.approximate for one in found if one.approximate), "")
    harms = {
        number: deployment["harm"]
        for number, deployment in enumerate(deployments)
        if deployment["harm"] is not None
    }
    marked = betting.e_bh(harms, rate=rate)
    rows = [
        {**deployment, "harmful": number in marked if number in harms else None}
        for number, deployment in enumerate(deployments)
    ]
    words = {True: "yes", False: "not shown", None: "-"}
    columns = [
        name
        for name in ("namespace", "deployment", "phase", "weight", "verdict")
        if all(name in row for row in rows)
    ]
    text = options.table(
        [
            {
                **{name: row[name] for name in columns},
                "harm (ln e)": row["harm"],
                "harmful": words[row["harmful"]],
                "reason": row["reason"],
            }
            for row in rows
        ]
    )
    promise = judge.qualified(
        f"of the revisions called harmful, a share of at most {rate:.3g} is expected to be no worse than stable",
        approximate,
    )
    return (
        {"deployments": rows, "falseDiscoveryRate": rate, "guarantee": promise},
        "\n".join(
            filter(
                None,
                [
                    text or "nothing is deployed: `fairway deploy PACKAGE`",
                    promise if marked else None,
                ],
            )
        ),
    )


def _with_harm(deployed: "Deployed") -> dict[str, Any]:
    """Return the record with `harm`; of a deployment that cannot be read, the sentence that says so
    instead of its reason.
    """
    if deployed.state is None:
        return {**deployed.record, "harm": None, "reason": deployed.unreadable}
    return {**deployed.record, "harm": harm(deployed.state)}


def span(interval: list[float | None] | None) -> str:
    """Return an interval in words."""
    if interval is None:
        return "-"
    low, high = interval
    if high is None:
        return "-" if low is None else f"{low:.4g} or more"
    return f"{high:.4g} or less" if low is None else f"{low:.4g} to {high:.4g}"


def _came_in(found: dict[str, Any]) -> str:
    """Return in words how many labels or outcomes are in, by arm and by answer."""
    parts = [
        f"{_of(found[arm])} of {of} units"
        for arm, of in (("candidate", "the candidate's"), ("stable", "stable's"))
    ]
    parts += [
        f"{_of(arms['candidate'])} and {_of(arms['stable'])} of those answered {answer!r}"
        for answer, arms in found.get("answers", {}).items()
    ]
    return ", ".join(parts)


def _of(counts: dict[str, int | None]) -> str:
    return f"{counts['units']} of {counts['of']}" if counts["of"] else str(counts["units"])


def _counted(arm: dict[str, Any], *, losses: bool) -> str:
    """Return how many were bad, or the mean of what was lost."""
    if losses:
        return f"mean {arm['bad'] / max(1, arm['n']):.3g} over {arm['n']}"
    return f"{arm['bad']:.4g} of {arm['n']}"


def _row(bet: str, row: dict[str, Any]) -> dict[str, Any]:
    intervals = row.get("intervals", {})
    counts = {
        arm: _counted(row[arm], losses=row.get("losses", False)) for arm in ("candidate", "stable")
    }
    what = "effect" if "effect" in intervals else "ratio"
    return {
        "guard": bet,
        **counts,
        "candidate, 95 %": span(intervals.get("candidate")),
        "stable, 95 %": span(intervals.get("stable")),
        "ratio or effect": span(intervals.get(what)),
        "harm (ln e)": row["logE"],
        "certificate (ln e)": row["logCertificate"],
    }
