"""What `fairway monitor` says of feedback loops: what is shown, and what comes of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from fairway.cli import options, past

if TYPE_CHECKING:
    from fairway.monitoring.labelling import feedback


@click.command()
@click.argument("deployment", required=False)
@click.option(
    "--item",
    metavar="COLUMN",
    help="The input that names the item of a row; without, the classes answered are the items.",
)
@click.option(
    "--first",
    type=click.IntRange(min=1),
    help="Of a ranking: how many rows of a request a user sees, the highest scores first.",
)
@click.option(
    "--reference",
    metavar="DEPLOYMENT",
    help="What was shown before, such as income@2026-10-01..2026-11-01; by default the older half.",
)
@past.origin
@options.output
def loops(
    deployment: str | None,
    item: str | None,
    first: int | None,
    reference: str | None,
    origin: past.AskedOf,
    form: str,
) -> None:
    """Say whether answers of DEPLOYMENT feed on themselves: how diverse what is shown became, which
    place of a ranking gets the clicks, and which answers get labels at all.

    DEPLOYMENT is the configuration's by default, its newest 5,000 rows, or as for `fairway drift`:
    income@20000, income@2026-11-01..2026-11-02, income@REVISION. It opens no alert.
    """
    from fairway.monitoring.labelling import exposures, feedback

    chosen = exposures.Chosen(item=item, first=first)
    with past.served(deployment, origin) as found:
        asked, now = found.asked, exposures.read(found.past, found.asked, chosen)
    half = len(now.items) // 2
    older, items = now.items[:half], now.items[half:]
    if reference is not None:
        with past.served(reference, origin) as before:
            older, items = exposures.read(before.past, before.asked, chosen).items, now.items
    shown = feedback.compared([*chain(*older)], [*chain(*items)])
    places, answered = feedback.positions(now.clicks), feedback.labelled(now.answers)
    record = {
        "deployment": asked.meant.deployment,
        "revision": asked.revision,
        "requests": {"before": len(older), "now": len(items)},
        "shown": None if shown is None else _shown(shown),
        "positions": [dataclasses.asdict(one) | {"rate": one.rate} for one in places],
        "answers": [dataclasses.asdict(one) | {"share": one.share} for one in answered],
        "remarks": feedback.remarks(shown, answered),
    }
    options.show(record, form=form, text=_described(record))


def _shown(shown: "feedback.ShownItems") -> dict[str, Any]:
    from fairway.monitoring.labelling import feedback

    return {
        **dataclasses.asdict(shown),
        "narrower": shown.narrower,
        "mean": {
            "before": dataclasses.asdict(feedback.mean(shown.before)),
            "now": dataclasses.asdict(feedback.mean(shown.now)),
        },
    }


def _described(record: Mapping[str, Any]) -> str:
    requests = record["requests"]
    lines = [
        f"deployment  {record['deployment']}, revision {record['revision']}: {requests['now']:,} requests "
        f"against {requests['before']:,} before",
        "",
        *_diversity(record["shown"]),
        *_places(record["positions"]),
        *_answers(record["answers"]),
    ]
    return "\n".join([*lines, *(f"mind        {one}" for one in record["remarks"])]).rstrip()


def _diversity(shown: Mapping[str, Any] | None) -> list[str]:
    if shown is None:
        return ["shown       too few items that have a name: wanted --item, or more requests", ""]
    words = {
        "coverage": f"share of {shown['items']:,} items seen in {shown['rows']:,} rows",
        "effective": "as many as if shown alike (exp of the entropy)",
        "gini": "concentration (Gini, 0 alike to 1)",
    }
    before, now = shown["mean"]["before"], shown["mean"]["now"]
    return [
        options.table(
            [{"shown": said, "before": before[key], "now": now[key]} for key, said in words.items()]
        ),
        "",
    ]


def _places(positions: Sequence[Mapping[str, Any]]) -> list[str]:
    if not positions:
        return []
    shown, clicked = (sum(one[key] for one in positions) for key in ("shown", "clicked"))
    return [
        options.table(
            [
                {
                    "place": one["place"],
                    "of the rows": f"{one['shown'] / shown:.1%}",
                    "of the clicks": f"{one['clicked'] / max(clicked, 1):.1%}",
                    "clicked": f"{one['rate']:.1%}",
                }
                for one in positions
            ]
        ),
        "",
    ]


def _answers(answered: Sequence[Mapping[str, Any]]) -> list[str]:
    if not answered:
        return []
    return [
        options.table(
            [
                {
                    "answer": one["answer"],
                    "answered": one["answered"],
                    "labelled": f"{one['share']:.1%}",
                }
                for one in answered[:10]
            ]
        ),
        "",
    ]
