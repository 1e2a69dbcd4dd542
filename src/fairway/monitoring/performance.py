"""How good a revision's answers turned out to be by the labels that came: all of them, by true class and
by slice, each with an interval, and how many answers have a label yet."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fairway.model import labels
from fairway.monitoring.eventstore import archive, comparing, history
from fairway.rollout.statistics import betting, intervals

Json = dict[str, Any]
LEVEL = 0.95
MOST_LINES = 20  # of classes, and of slices
EVENTS_OF_SLICES = 100_000  # newest, whose labels are told by slice


def measured(
    store: archive.EventStore,
    deployment: str,
    revision: str,
    *,
    namespace: str,
    slices: Sequence[str],
    told_apart: Sequence[str] = (),
) -> Json:
    """Return the revision's realised performance, with those of the classes that it tells apart of
    which no label came. `anyLook`: the intervals hold at every look at once, which those of the
    newest labels alone do not."""
    first = store.history.first(deployment, namespace=namespace, revision=revision)
    classes, requests = store.history.by_class(
        deployment, revision, namespace=namespace, after=first
    )
    given, mature = store.history.mature(deployment, revision, namespace=namespace)
    cut = given >= history.ANSWERS_AT_ONCE
    events = store.cursor() - first
    whole = events <= history.LABELS_AT_ONCE or (not cut and requests >= mature)
    named = {name: one for name, one in classes.items() if name is not None}
    rows = sum(rows for rows, _ in classes.values())
    lost = sum(lost for _, lost in classes.values())
    what = "accuracy" if named or not classes else "loss"
    after = max(first, store.cursor() - EVENTS_OF_SLICES)
    found = _sliced(store, deployment, revision, namespace=namespace, slices=slices, after=after)
    return {
        **figures(rows, lost, named=what),
        "level": LEVEL,
        "anyLook": whole,
        "answers": given,
        "maturity": mature / given if given else None,
        "answersCut": cut,
        "classes": [
            {"class": name, **figures(*named[name], named="recall")}
            for name in sorted(named, key=lambda name: (1 - named[name][1] / named[name][0], name))
        ]
        + [
            {"class": name, **figures(0, 0, named="recall")}
            for name in _unlabelled(told_apart, named)
        ],
        "slices": [
            {"feature": feature, "value": value, **figures(*found[feature, value], named=what)}
            for feature, value in sorted(found)
        ],
    }


def figures(rows: int, lost: float, *, named: str) -> Json:
    """Return the rows, the share of right answers under that name, or the mean loss where it is `loss`,
    and its interval."""
    right = named != "loss"
    if not rows:
        return {"labelled": 0, named: None, "interval": None}
    low, high = intervals.rate(betting.ArmCounts(rows, lost), alpha=1 - LEVEL)
    edges = [0.0 if low is None else low, 1.0 if high is None else high]
    loss = lost / rows
    return {
        "labelled": rows,
        named: 1 - loss if right else loss,
        "interval": [1 - edge for edge in edges[::-1]] if right else edges,
    }


def _unlabelled(told_apart: Sequence[str], named: Collection[str]) -> list[str]:
    """Return the classes of which no label came, however it is written."""
    spelled = {labels.spelled(name) for name in named}
    return [name for name in told_apart if labels.spelled(name) not in spelled]


def _sliced(
    store: archive.EventStore,
    deployment: str,
    revision: str,
    *,
    namespace: str,
    slices: Sequence[str],
    after: int,
) -> Mapping[tuple[str, str], comparing.Lost]:
    """Return the rows of each slice and what they have lost; nothing of rows whose inputs were not
    logged."""
    found: dict[tuple[str, str], comparing.Lost] = {}
    for feature in slices:
        _, joined = store.labelled(
            deployment, namespace=namespace, after=after, by=feature, gauge=revision
        )
        for one in joined:
            if one.revision == revision and one.slice is not None:
                rows, lost = found.get((feature, one.slice), (0, 0))
                found[feature, one.slice] = rows + one.rows, lost + one.wrong
    return found


def described(said: Mapping[str, Any]) -> list[str]:
    """Return the lines of a revision's performance."""
    of = f"newest {said['answers']}" if said["answersCut"] else str(said["answers"])
    lines = []
    if said["answers"]:
        lines.append(f"maturity    labels of {said['maturity']:.1%} of {of} answers are in")
    if not said["labelled"]:
        return lines
    looks = ", at every look" if said["anyLook"] else ", of the newest labels"
    lines.append(f"interval    {_figure(said)} ({said['level']:.0%}{looks})")
    lines += _by_class(said["classes"])
    lines += [
        f"slice       {one['feature']}={one['value']}: {_figure(one)}"
        for one in said["slices"][:MOST_LINES]
    ]
    if len(said["slices"]) > MOST_LINES:
        lines.append(f"            and {len(said['slices']) - MOST_LINES} slices (--output json)")
    return lines


def _by_class(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [one for one in classes if one["labelled"]]
    lines = [f"class       {one['class']}: recall {_figure(one)}" for one in known[:MOST_LINES]]
    if len(known) > MOST_LINES:
        more = len(known) - MOST_LINES
        lines.append(f"            and {more} classes with a higher recall (--output json)")
    none = [str(one["class"]) for one in classes if not one["labelled"]]
    if none:
        more = len(none) - MOST_LINES
        also = f" and {more} more (--output json)" if more > 0 else ""
        lines.append(f"class       {', '.join(none[:MOST_LINES])}{also}: no label yet")
    return lines


def _figure(one: Mapping[str, Any]) -> str:
    (value,) = (one[name] for name in ("accuracy", "recall", "loss") if name in one)
    low, high = one["interval"]
    plural = "" if one["labelled"] == 1 else "s"
    return f"{value:.3f}, {low:.3f} to {high:.3f}, on {one['labelled']} label{plural}"
