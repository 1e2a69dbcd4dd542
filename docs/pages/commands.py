"""docs/cli.md, from the click commands."""

import inspect
from collections.abc import Iterator

import click

from docs.pages.markdown import document, table
from fairway.cli import cli as root

CLI = """
`fairway --help` lists the verbs, `fairway VERB --help` says the same as this page. `--output json` prints records for
programs. Exit status: 0 done, 1 failed, 2 used wrongly, 3 refused by a gate or rolled back.
"""


def page() -> str:
    parts = []
    for command, context in commands(
        root, click.Context(root, info_name="fairway", **root.context_settings)
    ):
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [
            f"## {context.command_path}",
            f"```text\n{usage}\n```",
            inspect.cleandoc(command.help or ""),
        ]
        records = [
            record
            for parameter in command.get_params(context)
            if (record := parameter.get_help_record(context)) and record[1]
        ]
        if records:
            parts.append(
                table(
                    ("option", "meaning"), [(f"`{flags}`", meaning) for flags, meaning in records]
                )
            )
    return document("Command line", CLI, [part for part in parts if part])


def commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Return each command under the group with the context that names it, groups before what they
    hold."""
    for name in group.list_commands(context):
        try:
            command = group.get_command(context, name)
        except ImportError as error:
            raise SystemExit(
                f"docs: {context.command_path} {name} cannot be described: {error}"
            ) from error
        if command is None or command.hidden:
            continue
        inner = click.Context(
            command,
            info_name=name,
            parent=context,
            **{**command.context_settings, "terminal_width": 100},
        )
        yield command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner)
