"""What is read whole, by name: the files of a package that its server shows, and what was learnt of a
deployment's traffic."""

import hashlib
from dataclasses import asdict, dataclass

from fairway.monitoring.eventstore import databases

DAY = 86_400.0
NAMESPACE_BYTES = 256 << 20  # of packages of one namespace: a tabular model's take a megabyte


@dataclass(frozen=True, kw_only=True)
class BlobPlace:
    """Where a blob is kept; without a revision it is the deployment's own."""

    namespace: str
    deployment: str
    revision: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class BlobShelf:
    """The files that are kept of one deployment, in a store that is here."""

    blobs: "Blobs"
    namespace: str
    deployment: str
    now: float

    def read(self, name: str) -> bytes | None:
        return self.blobs.get(self._place(name))

    def write(self, name: str, content: bytes) -> None:
        self.blobs.put(self._place(name), content, at=self.now)

    def remove(self, name: str) -> None:
        self.blobs.remove(self._place(name))

    def _place(self, name: str) -> BlobPlace:
        return BlobPlace(namespace=self.namespace, deployment=self.deployment, name=name)


class Blobs:
    """The blobs of one store."""

    def __init__(self, backend: databases.Backend) -> None:
        self._backend, self._sql = backend, backend.sql

    def get(self, place: BlobPlace) -> bytes | None:
        """Return the content, None where there is none."""
        with self._backend.reading() as connection:
            row = connection.execute(self._sql.BLOB, asdict(place)).fetchone()
        return None if row is None else bytes(row[1])

    def digests(self, place: BlobPlace) -> dict[str, str]:
        """Return the SHA-256 of what is kept, by name; the place's own name says nothing."""
        with self._backend.reading() as connection:
            return dict(connection.execute(self._sql.BLOB_DIGESTS, asdict(place)).fetchall())

    def put(self, place: BlobPlace, content: bytes, *, at: float) -> str:
        """Keep the content in the place of what was there, and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        values = {**asdict(place), "digest": digest, "at": at, "content": content}
        with self._backend.writing() as connection:
            connection.execute(self._sql.SET_BLOB, values)
            self._make_room(connection, place)
        return digest

    def touch(self, place: BlobPlace, *, at: float) -> None:
        """Note that the revision's servers run still; once a day is enough."""
        with self._backend.writing() as connection:
            connection.execute(
                self._sql.TOUCH_BLOBS, {**asdict(place), "at": at, "before": at - DAY}
            )

    def _make_room(self, connection: databases.Connection, place: BlobPlace) -> None:
        """Remove the packages of a namespace that were shown longest ago, beyond what it may have:
        events of others must not go for them."""
        sizes = connection.execute(self._sql.BLOB_SIZES, asdict(place)).fetchall()
        total = sum(int(size) for _, _, size in sizes)
        for deployment, revision, size in sizes:
            if total <= NAMESPACE_BYTES:
                return
            if (deployment, revision) != (place.deployment, place.revision):
                values = {
                    "namespace": place.namespace,
                    "deployment": deployment,
                    "revision": revision,
                }
                connection.execute(self._sql.REMOVE_PACKAGE, values)
                total -= int(size)

    def remove(self, place: BlobPlace) -> None:
        with self._backend.writing() as connection:
            connection.execute(self._sql.REMOVE_BLOB, asdict(place))

    def prune(self, *, before: float) -> None:
        """Remove what was kept before the time, of revisions that no event is left of."""
        with self._backend.writing() as connection:
            connection.execute(self._sql.REMOVE_BLOBS, {"before": before})
