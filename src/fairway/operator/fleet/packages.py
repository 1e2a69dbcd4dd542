"""What a monitor knows of a model: the files that its servers showed to the collector, held against
the digest that the operator gave."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import errors, files
from fairway.monitoring import references
from fairway.monitoring.eventstore import distant
from fairway.monitoring.watched import Described
from fairway.packaging import manifest

# bytes of one reference unpacked, and of what is learnt of one deployment: a monitor has hundreds
LARGEST = 32 << 20
NEEDED, WANTED = manifest.NAME, ("evaluation.json", "reference.npz")


class Missing(errors.Unavailable):
    """No server has shown its package yet."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """One package."""

    package: Described
    facts: dict[str, Any]


def read(store: distant.Distant, *, revision: str, digest: str) -> Known:
    """Return the package of the revision; raises as `shown` does."""
    with shown(store, revision=revision, digest=digest) as (found, here):
        trained = references.trained(
            found.path, files=here, features=found.features, largest=LARGEST
        )
        return Known(
            package=Described(schema=found.schema, trained=trained), facts=dict(found.facts())
        )


@contextmanager
def shown(
    store: distant.Distant, *, revision: str, digest: str
) -> Iterator[tuple[manifest.Manifest, dict[str, str]]]:
    """Give the package of the revision, and those of its files that are there while the block lasts;
    raises Missing where no server has shown it, PackageError where what was shown is another."""
    with tempfile.TemporaryDirectory(prefix="fairway-package-") as folder:
        path = Path(folder)
        _fetch(store, path, revision=revision, name=NEEDED)
        found = manifest.read(path)
        if found.digest != digest:
            raise errors.PackageError(
                f"a server of revision {revision} showed the package {found.digest}: wanted {digest}; "
                "see who runs pods in its namespace"
            )
        listed = {name: _listed(store, found, revision=revision, name=name) for name in WANTED}
        yield found, {name: digest for name, digest in listed.items() if digest}


def _listed(
    store: distant.Distant, found: manifest.Manifest, *, revision: str, name: str
) -> str | None:
    """Fetch a file where the manifest lists one, and return its digest."""
    wanted = found.files.get(name)
    if wanted is None:
        return None
    _fetch(store, found.path, revision=revision, name=name)
    seen = files.digest_file(found.path / name)
    if seen != wanted:
        raise errors.PackageError(
            f"a server of revision {revision} showed a {name} with the digest {seen}: wanted {wanted}"
        )
    return wanted


def _fetch(store: distant.Distant, path: Path, *, revision: str, name: str) -> None:
    content = store.package_file(revision, name)
    if content is None:
        raise Missing(
            f"no server of revision {revision} has shown its {name} yet: wanted one of this version, with a "
            "collector that runs with --packages"
        )
    (path / name).write_bytes(content)
