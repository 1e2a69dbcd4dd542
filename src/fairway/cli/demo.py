"""`fairway demo`: plays the story, tells it as a timeline, ends with a table."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from fairway.cli import options


@click.command()
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 2),
    default=0,
    show_default=True,
    help="Fixes data, models and traffic.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fairway-demo"),
    show_default=True,
    help="Where report.html and report.json go.",
)
@click.option("--keep", is_flag=True, help="Leave everything running, and print the addresses.")
@click.option(
    "--home",
    "root",
    type=click.Path(path_type=Path),
    default=None,
    help="Home directory of the demo's platform; by default a temporary one.",
)
@options.output
def demo(seed: int, out: Path, keep: bool, root: Path | None, form: str) -> None:
    """Play the whole story on one machine, on real data: about three minutes on two cores.

    A first model serves; a better one replaces it through shadow and canary; two defective ones are
    rolled back; the inputs shift; labels arrive late; a challenger is trained on them and takes
    over.
    """
    from fairway.demo import page, story
    from fairway.platforms.local import client
    from fairway.platforms.local.home import Home

    out.mkdir(parents=True, exist_ok=True)
    home = Home((root or Path(tempfile.mkdtemp(prefix="fairway-demo-"))).resolve())
    began = time.time()
    timeline: list[tuple[float, str, str]] = []

    def tell(kind: str, message: str) -> None:
        at = time.time() - began
        timeline.append((at, kind, message))
        if form == "text":
            click.echo(f"{at:6.1f} s  {kind:<17} {message}")

    left = not keep
    try:
        record = story.play(home, out=out.resolve() / "work", seed=seed, tell=tell)
        story.write(record, out=out, timeline=timeline)
    except BaseException:
        left = True
        raise
    finally:
        if left:
            client.down(home)
            if root is None:
                _keep_logs(home.logs, out / "logs")
                shutil.rmtree(home.root, ignore_errors=True)
    if form == "json":
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    click.echo()
    click.echo(_table(record))
    click.echo(f"\n{page.summary(record)}\nreport  {out / 'report.html'}")
    if keep:
        addresses = client.need(home)
        click.echo(
            f"running  gateway {addresses.gateway}  collector {addresses.collector}  monitor "
            f"{addresses.monitor}/metrics\n"
            f"stop it with: fairway down --home {home.root}"
        )


def _table(record: dict[str, Any]) -> str:
    return options.table(
        [
            {
                "model": row["name"],
                "revision": row["revision"],
                "outcome": row["outcome"],
                "caught by": row["caught_by"],
                "requests": row["requests"],
                "seconds": row["seconds"],
            }
            for row in record["revisions"]
        ]
    )


def _keep_logs(logs: Path, to: Path) -> None:
    if logs.exists():
        shutil.copytree(logs, to, dirs_exist_ok=True)
