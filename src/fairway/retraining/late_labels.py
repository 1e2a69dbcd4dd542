"""Labels that came late, joined to the requests that they are about: rows to learn from, beside those
that the import brings."""

import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway import addresses, errors
from fairway.addresses import web
from fairway.config import sections
from fairway.data import importing
from fairway.monitoring.eventstore import answers, archive
from fairway.packaging import manifest
from fairway.retraining import challenger

COLUMNS = ("request_id", "label")
LARGEST_FILE = 1 << 30  # bytes of labels


def joined(
    store: archive.EventStore,
    config: sections.Config,
    *,
    champion: Path,
    labels: str | None,
    out: Path,
) -> tuple[sections.Config, int]:
    """Write what `data` names by address and the labelled rows to the folder `out`; return the
    configuration in which the newest of these are held out, and how many there are.

    `labels` is the address of a csv file with labels that the store may not know. Raises Refused
    where too few requests have a label.
    """
    importing.bring(config.data, out=out)
    package = manifest.load(champion)
    most = config.retraining.max_new_rows
    told = {} if labels is None else _read(labels, separator=config.data.separator)
    requests = store.history.training_rows(config.name, namespace=config.namespace, limit=most)
    known = {one.request_id: one for one in requests}
    for one in sorted(_of_file(store, config, told), key=lambda one: one.seq):
        known.pop(one.request_id, None)  # a file's labels came later than the store's
        known[one.request_id] = one
    newest = list(known.values())[-most:]
    rows = challenger.write_rows(newest, package=package, out=out / importing.LABELLED)
    compared = challenger.held_out(config.retraining, labelled=rows)
    if compared is None:
        raise errors.Refused(challenger.too_few(rows))
    print(f"progress: {rows} labelled rows, of which the newest {compared} are held out")
    return challenger.with_labelled(config, None, held_out=compared), rows


def _of_file(
    store: archive.EventStore, config: sections.Config, told: dict[str, list[Any]]
) -> Iterator[answers.LabelledInputs]:
    """Give the logged requests that the file has a label of, whichever revision answered."""
    arms = {(one.revision, one.role) for one in store.counts(config.name)} if told else set()
    for revision, role in sorted(arms):
        if role not in ("stable", "canary"):
            continue
        found = store.history.newest(
            config.name, namespace=config.namespace, revision=revision, role=role
        )
        for request in found:
            truth = told.get(request.request_id)
            if truth is not None and request.inputs:
                yield answers.LabelledInputs(request.seq, request.request_id, request.inputs, truth)


def _read(address: str, *, separator: str | None) -> dict[str, list[Any]]:
    """Return the labels of each request: of one row a word, of several rows a JSON list."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(address)
        if "://" in address:
            folder, name = addresses.parted(address)
            place, file = addresses.folder(folder), Path(scratch) / name
            addresses.patiently(lambda: addresses.take(place, name, to=file, largest=LARGEST_FILE))
        try:
            with file.open(newline="", encoding="utf-8-sig") as handle:
                table = csv.DictReader(handle)
                rows = [{key: row.get(key) or "" for key in COLUMNS} for row in table]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise errors.UsageError(
                f"labels {web.shown(address)} cannot be read ({error}): wanted csv with the columns "
                "request_id and label"
            ) from error
    if not any(row["request_id"] for row in rows):
        raise errors.UsageError(
            f"labels {web.shown(address)} has no row with a request_id: wanted csv with the columns "
            "request_id and label"
        )
    return {row["request_id"]: _meant(row["label"], separator) for row in rows if row["label"]}


def _meant(text: str, separator: str | None) -> list[Any]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            return [text]
        return found if isinstance(found, list) else [found]
    return [[part.strip() for part in text.split(separator)]] if separator else [text]
