"""`fairway init`: from a file of rows to a configuration."""

from pathlib import Path
from typing import Any

import click

from fairway import artifacts, errors
from fairway.cli import options


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    required=True,
    multiple=True,
    metavar="COLUMN",
    help="The column to predict; several times: 0/1 columns, each a label that a row may have (multilabel).",
)
@click.option(
    "--separator", default=None, help="What stands between the labels of one cell (multilabel)."
)
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="CLASS=PARENT",
    help="A class's parent, as often as there are (hierarchical): a wrong class of the right branch costs less.",
)
@click.option(
    "--parents",
    "family_tree",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The same of many classes: CSV with the columns child and parent, or a map in YAML or JSON.",
)
@click.option(
    "--group",
    default=None,
    metavar="COLUMN",
    help="What rows belong to, to be ranked within it (ranking).",
)
@click.option(
    "--name", default=None, help="Name of the deployment; by default from the file's name."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("fairway.yaml"),
    show_default=True,
    help="Where to write the configuration.",
)
@click.option("--force", is_flag=True, help="Replace a configuration that is there already.")
@options.output
def init(
    data: Path,
    targets: tuple[str, ...],
    separator: str | None,
    parents: tuple[str, ...],
    family_tree: Path | None,
    group: str | None,
    name: str | None,
    out: Path,
    force: bool,
    form: str,
) -> None:
    """Look at DATA (csv or parquet) and write fairway.yaml with what was found and why."""
    from fairway.data import draft, inspect

    if name is not None:
        options.check_name(name, option="--name")
    if out.exists() and not force:
        raise errors.UsageError(
            f"{out} is there already: choose another with --out, or replace it with --force"
        )
    known = _parents(parents, file=family_tree)
    target, keys = _said(targets, separator=separator, parents=known, group=group)
    findings = inspect.inspect(data, target=target, **keys)
    text = draft.render(findings, name=name, relative_to=out.resolve().parent)
    wrote = options.write(out, text.encode())
    text = f"{draft.summary(findings)}\nwrote {wrote}; next: fairway run training"
    options.show(artifacts.as_json(findings) | {"wrote": str(out)}, form=form, text=text)


def _said(
    targets: tuple[str, ...], *, separator: str | None, parents: dict[str, str], group: str | None
) -> tuple[str, dict[str, Any]]:
    """Return the target's name, and the other keys of the data section that say what is predicted."""
    keys: dict[str, Any] = {}
    if len(targets) > 1:
        keys["targets"] = targets
    keys |= {
        key: value
        for key, value in (("separator", separator), ("group", group))
        if value is not None
    }
    if parents:
        keys["parents"] = parents
    return ("labels" if len(targets) > 1 else targets[0]), keys


def _parents(said: tuple[str, ...], *, file: Path | None) -> dict[str, str]:
    """Return each class's parent, as the file and then the options say."""
    from fairway.data import parents

    found = parents.read(file) if file is not None else {}
    for text in said:
        child, _, parent = (part.strip() for part in text.partition("="))
        if not child or not parent:
            raise errors.UsageError(
                f"--parent {text!r}: wanted CLASS=PARENT, such as --parent dog=mammal"
            )
        found[child] = parent
    return found
