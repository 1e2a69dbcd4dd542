"""Options that many verbs share, and how records are printed."""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from fairway import artifacts, errors, files

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.control.ports import PlatformPort
    from fairway.platforms.local.home import Home

CONFIG = Path("fairway.yaml")
F = TypeVar("F", bound=Callable[..., Any])


def config(function: F) -> F:
    """Add --config and --set."""
    function = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the configuration, such as training.epochs=5; may be repeated.",
    )(function)
    return click.option(
        "--config",
        "-c",
        "path",
        type=click.Path(path_type=Path),
        default=CONFIG,
        show_default=True,
        help="The configuration file.",
    )(function)


def home(function: F) -> F:
    """Add --home; by default .fairway in the current directory, where a second project does not
    meet it."""
    return click.option(
        "--home",
        "root",
        type=click.Path(path_type=Path),
        envvar="FAIRWAY_HOME",
        default=Path(".fairway"),
        show_default=True,
        help="Where the local platform keeps its things.",
    )(function)


def output(function: F) -> F:
    """Add --output."""
    return click.option(
        "--output",
        "-o",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the record is printed.",
    )(function)


def uri(function: F) -> F:
    """Add --uri."""
    return click.option(
        "--uri",
        default=None,
        help="Where the cluster finds the package: s3://, gs://, minio://, https://, oci:// or pvc://claim/folder. "
        "By default in platform.store, under its digest.",
    )(function)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """What --on, --namespace and --context say."""

    on: Literal["local", "kubernetes"] | None
    namespace: str | None
    context: str | None

    def kind(self, config: "sections.Config") -> Literal["local", "kubernetes"]:
        """Return the platform that is meant; by default what the configuration says."""
        meant = self.on or config.platform.kind
        if meant == "local" and (self.namespace or self.context):
            raise errors.UsageError(
                "--namespace and --context name a place in a cluster: add --on kubernetes, or set platform.kind to "
                "kubernetes"
            )
        return meant

    def platform(self, config: "sections.Config", *, root: Path) -> "PlatformPort":
        """Return the platform that is meant; its home is made where it is the local one."""
        from fairway.platforms import choice

        kind = self.kind(config)
        home = open_home(root).root if kind == "local" else root
        return choice.platform(
            kind, home=home, namespace=self.namespace or config.namespace, context=self.context
        )


def cluster(function: F) -> F:
    """Add --on, --namespace and --context, as the argument `where`."""

    @functools.wraps(function)
    def called(
        *args: Any,
        on: Literal["local", "kubernetes"] | None,
        namespace: str | None,
        context: str | None,
        **named: Any,
    ) -> Any:
        return function(*args, where=Where(on=on, namespace=namespace, context=context), **named)

    wrapped = click.option(
        "--context",
        default=None,
        help="On a cluster: the kubeconfig's context, instead of its current one.",
    )(called)
    wrapped = click.option(
        "--namespace",
        "-n",
        default=None,
        help="On a cluster: the namespace, instead of the configuration's.",
    )(wrapped)
    wrapped = click.option(
        "--on",
        type=click.Choice(["local", "kubernetes"]),
        default=None,
        help="The local platform or a cluster; platform.kind of the configuration by default.",
    )(wrapped)
    return cast(F, wrapped)


def seconds(timeout: str | None) -> float | None:
    """Return what --timeout says, in seconds."""
    from fairway.config import sections

    if timeout is None:
        return None
    try:
        return sections.parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise errors.UsageError(f"--timeout {timeout!r}: {error}") from error


def check_name(text: str, *, option: str) -> None:
    """Raise UsageError with a name that would do where the text cannot name a deployment."""
    import re

    from fairway.config import patterns

    if re.fullmatch(patterns.NAME, text):
        return
    near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:53].strip("-") or "model"
    raise errors.UsageError(
        f"{option} is {errors.shortened(repr(text))}: wanted at most 53 lower-case letters, digits and dashes, "
        f"a letter or digit at each end, such as {near}"
    )


def load(path: Path, overrides: tuple[str, ...]) -> "sections.Config":
    from fairway.config import loader

    return loader.load(path, overrides=overrides)


def load_or_default(path: Path, overrides: tuple[str, ...]) -> "sections.Config":
    """Return the configuration; the defaults where the usual file is not there."""
    from fairway.config import loader

    if path.exists() or path != CONFIG:
        return loader.load(path, overrides=overrides)
    return loader.load(None, overrides=["data.source=digits", *overrides])  # it needs no file


def open_home(root: Path) -> "Home":
    from fairway.platforms.local.home import Home

    place = Home(root.resolve())
    place.make()
    return place


def show(record: Any, *, form: str, text: str | None = None) -> None:
    """Print the record as JSON, or `text` (where None: its fields, one a line)."""
    plain = (
        dataclasses.asdict(record)
        if dataclasses.is_dataclass(record) and not isinstance(record, type)
        else record
    )
    if form == "json":
        click.echo(json.dumps(plain, ensure_ascii=False, default=str))
    elif text is not None:
        click.echo(text)
    else:
        width = max(len(key) for key in plain)
        for key, value in plain.items():
            click.echo(f"{key.replace('_', ' '):<{width}}  {_short(value)}")


def write(path: Path, data: bytes) -> str:
    """Write a file that a person asked for, and return its name with the folder that was made for
    it. A link, a pipe or a device, such as /dev/stdout, is written to and never replaced."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(data)
        return str(path)
    made = next((folder for folder in reversed(path.parents) if not folder.exists()), None)
    files.write_bytes(path, data)
    return str(path) if made is None else f"{path} (in the new folder {made})"


def need_posix() -> None:
    """Raise UsageError on Windows: the local platform needs process groups and rename over an open
    file throughout."""
    if sys.platform == "win32":
        raise errors.UsageError("the local platform runs on Linux and macOS; on Windows use WSL")


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned columns, as kubectl prints them."""
    if not rows:
        return ""
    cells = [
        [name.upper() for name in rows[0]],
        *([_short(value) for value in row.values()] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def fitted(text: str) -> str:
    """Return the lines cut to the width of the terminal that they are printed on; elsewhere, whole."""
    return cut(text, width=shutil.get_terminal_size().columns) if sys.stdout.isatty() else text


def cut(text: str, *, width: int) -> str:
    """Return each line with at most `width` characters."""
    lines = (line if len(line) <= width else f"{line[: width - 1]}…" for line in text.splitlines())
    return "\n".join(lines)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that it cleans up and says so."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def person() -> str | None:
    """Return the name of who calls, None where the environment has none, as in a pod."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or None


def user() -> str:
    """Return the name that history remembers a command by."""
    return person() or f"uid {os.getuid()}"


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    if isinstance(value, dict | list | tuple):
        text = json.dumps(value, ensure_ascii=False, default=str)
        return text if len(text) <= 200 else text[:197] + "..."
    return str(value)


def newest(store: Path, name: str) -> Path:
    """Return the newest package of this name in the store."""
    found = []
    for folder in store.iterdir() if store.exists() else ():
        file = folder / "manifest.json"
        if (
            not folder.name.startswith(".")
            and file.exists()
            and artifacts.read_json(file).get("name") == name
        ):
            found.append((file.stat().st_mtime, folder))
    if not found:
        raise errors.UsageError(
            f"there is no package of {name} in {store}: build one with `fairway run training`, or name it"
        )
    return max(found)[1]
