"""What moved between two populations, as a step of a pipeline asks it: files at any address, the
reference of the package in service, what its revision was asked.

As the command's, a population is a file of rows, the folder of a package, or `NAME`, `NAME@500`,
`NAME@2026-11-01..2026-11-02` of what was served.
"""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairway import addresses, artifacts, errors
from fairway.config import sections
from fairway.data import histories, importing
from fairway.monitoring import aligned, populations, stretch, windows
from fairway.monitoring.drift import account, comparison
from fairway.monitoring.eventstore import archive
from fairway.packaging import manifest


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is held against what; empty texts are the reference of the package in service, and the
    newest rows that were asked of it."""

    before: str = ""
    after: str = ""
    p_value: float = 0.01


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """The package in service with its revision, and how the events are opened."""

    package: Path | None
    revision: str | None
    store: Callable[[], archive.EventStore]


def detect(
    config: sections.Config, asked: Sides, *, place: InPlace, page: Path | None = None
) -> artifacts.Json:
    """Return the account as `fairway drift` has it, and write its page.

    Raises DataError where a side has no rows, NothingServed where the model in service has answered too
    few to compare, UsageError for what is no population.
    """
    before = asked.before or str(_need(place.package))
    with contextlib.ExitStack() as stack:
        texts = [
            _brought(text, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            for text in (before, asked.after or config.name)
        ]
        sides = aligned.sides(
            texts[0],
            texts[1],
            columns=histories.Columns(),
            section=config.data,
            ordered=True,
            population=lambda text: _population(text, config=config, place=place),
        )
    served = sides.after.rows
    if not asked.after and served < comparison.LEAST_ROWS:
        raise errors.NothingServed(
            f"{served} predictions of {config.name} with logged inputs are there: wanted at least "
            f"{comparison.LEAST_ROWS}, of which a shift can be told; send more requests"
        )
    compared = comparison.compare(
        sides.before.columns,
        sides.after.columns,
        schema=sides.schema,
        roles=sides.roles,
        least=config.monitoring.least_shift,
        threshold=asked.p_value,
        ordered=True,
    )
    record = account.record(sides, compared)
    if page is not None:
        from fairway.monitoring.drift import drawing  # matplotlib

        page.write_text(drawing.render(record, sides), encoding="utf-8")
    return record


def broken(record: artifacts.Json) -> str | None:
    """Return why the rows of an account are broken rather than moved, None where they are not: what
    learns from them learns the fault."""
    if record["schema"]:
        return str(record["schema"][0]["sentence"])
    for column in record["columns"]:
        if any(part["moved"] and part["kind"] == windows.QUALITY for part in column["parts"]):
            return f"{column['name']}: {account.WHAT[windows.QUALITY]}"
    return None


def _brought(text: str, folder: Path) -> str:
    """Return the name of a file that was brought from its address, and of others the text itself."""
    if "://" not in text:
        return text
    place, name = addresses.parted(text)
    file = folder / name
    found = addresses.folder(place)
    addresses.patiently(
        lambda: addresses.take(found, name, to=file, largest=importing.LARGEST_FILE)
    )
    return str(file)


def _population(text: str, *, config: sections.Config, place: InPlace) -> populations.Population:
    if Path(text).is_dir():
        return populations.of_package(Path(text))
    meant = stretch.asked(text)
    if meant.deployment != config.name:
        raise errors.UsageError(
            f"{errors.shortened(text)} is another deployment than the configuration's, {config.name}: wanted "
            "rows that it was asked"
        )
    serving = place.revision or ""
    revisions = [serving] if serving.startswith(meant.revision or "") else []
    with contextlib.closing(place.store()) as store:
        return populations.in_service(
            store.history,
            meant,
            text=text,
            namespace=config.namespace,
            revisions=revisions,
            package_of=lambda _: populations.packaged(manifest.load(_need(place.package))),
        )


def _need(package: Path | None) -> Path:
    if package is None:
        raise errors.UsageError(
            "no model is in service, and nothing else to hold rows against is named: deploy a package first, or "
            "name both populations"
        )
    return package
