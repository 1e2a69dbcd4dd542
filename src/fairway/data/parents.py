"""Classes and their parents as a file has them: CSV with the columns child and parent, or one map in
YAML or JSON."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from fairway import errors
from fairway.config import documents

COLUMNS = ("child", "parent")
DOCUMENTS = (".yaml", ".yml", ".json")
WANTED = "wanted CSV with the columns child and parent, or a map from classes to their parents in YAML or JSON"


def read(path: Path) -> dict[str, str]:
    """Return each class's parent; raises UsageError for a file that does not say them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise errors.UsageError(f"--parents {path}: {error.strerror}; {WANTED}") from error
    except UnicodeDecodeError as error:
        raise errors.UsageError(f"--parents {path} is not UTF-8 text: {WANTED}") from error
    pairs = _document(path, text) if path.suffix.lower() in DOCUMENTS else _table(path, text)
    found: dict[str, str] = {}
    for child, parent in pairs:
        known = found.setdefault(child, parent)
        if known != parent:
            raise errors.UsageError(
                f"--parents {path} gives {child!r} two parents, {known!r} and {parent!r}: wanted one of each class"
            )
    if not found:
        raise errors.UsageError(f"--parents {path} has no class: {WANTED}")
    return found


def _document(path: Path, text: str) -> Iterable[tuple[str, str]]:
    try:
        found = documents.parse(text)
    except yaml.YAMLError as error:
        raise errors.UsageError(
            f"--parents {path} cannot be read ({' '.join(str(error).split())}): {WANTED}"
        ) from error
    if not isinstance(found, Mapping):
        raise errors.UsageError(f"--parents {path} holds {errors.excerpt(found)!r}: {WANTED}")
    for child, parent in found.items():
        wrong = [one for one in (child, parent) if type(one) not in (str, int) or one == ""]
        if wrong:
            raise errors.UsageError(
                f"--parents {path}: {errors.excerpt(child)!r} has the parent {errors.excerpt(parent)!r}: wanted two "
                "names"
            )
        yield str(child).strip(), str(parent).strip()


def _table(path: Path, text: str) -> Iterable[tuple[str, str]]:
    first = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    header = [name.strip().lower() for name in rows.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise errors.UsageError(f"--parents {path} has no column {missing[0]!r}: {WANTED}")
    rows.fieldnames = header
    for number, row in enumerate(rows, start=2):
        child, parent = ((row[name] or "").strip() for name in COLUMNS)
        if not child or not parent:
            raise errors.UsageError(
                f"--parents {path} line {number} has the child {child!r} and the parent {parent!r}: wanted both"
            )
        yield child, parent
