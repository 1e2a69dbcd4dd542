"""Files in a container registry.

The artifact is one that `oras push REGISTRY/REPOSITORY:TAG *` makes in a folder: a layer for each file,
with its name as `org.opencontainers.image.title`. The manifest, and so its digest, follows from the
files alone.
"""

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairway import errors, files
from fairway.addresses import registry, web

TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
KIND = "application/vnd.fairway.files.v1"
LAYER = "application/octet-stream"
EMPTY = b"{}"  # the configuration that is none, as the image specification has it
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Repository:
    """One artifact of a repository; `tag` is taken where the address names none."""

    def __init__(self, uri: str, *, tag: str, environment: Mapping[str, str]) -> None:
        place = urllib.parse.urlsplit(uri)
        name, named, self._pinned = parted(place.path)
        self._reference = self._pinned or named or tag
        if not (DIGEST if self._pinned else TAG).fullmatch(self._reference):
            raise errors.UsageError(
                f"{uri} names {self._reference or 'no tag'!r}: wanted oci://registry/repository:tag or @sha256:..."
            )
        self._shown = f"oci://{place.netloc}/{name}:{self._reference}"
        self._reading = registry.Registry(place.netloc, name, environment=environment)
        self._writing = registry.Registry(
            place.netloc, name, environment=environment, actions="pull,push"
        )
        self._manifest = f"{self._reading.base}/manifests/{self._reference}"
        self._layers: dict[str, str] | None = None
        self._written: dict[str, dict[str, Any]] = {}

    def chunks(self, name: str) -> Iterator[bytes]:
        if self._layers is None:
            self._layers = self._read()
        digest = self._layers.get(name)
        if digest is None:
            raise errors.AddressError(
                f"{self._shown} has no layer with the title {name}: wanted what `oras push` makes in a package's folder"
            )
        url = f"{self._reading.base}/blobs/{digest}"
        yield from web.body(self._reading.answered(url), url=url)

    def put(self, name: str, file: Path) -> None:
        """Write the file's content; `finish` makes an artifact of all that was written."""
        self._layers = None
        layer = self._put_blob(file, digest=files.digest_file(file))
        self._written[name] = {"mediaType": LAYER, **layer, "annotations": {TITLE: name}}

    def finish(self) -> None:
        """Give the tag to the artifact of the files that were put."""
        if self._pinned:
            raise errors.UsageError(
                f"{self._shown} is an artifact that is there: wanted a tag to write one under"
            )
        config = self._put_blob(EMPTY, digest=files.digest_bytes(EMPTY))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": KIND,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", **config},
            "layers": list(self._written.values()),
        }
        content = json.dumps(manifest, separators=(",", ":")).encode()
        headers = {"content-type": MANIFEST}
        self._writing.answered(self._manifest, method="PUT", headers=headers, body=content).close()
        self._written = {}

    def _put_blob(self, content: bytes | Path, *, digest: str) -> dict[str, str | int]:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        try:
            there = f"{self._writing.base}/blobs/{digest}"
            self._writing.answered(there, method="HEAD").close()
        except errors.MissingFile:
            begun = f"{self._writing.base}/blobs/uploads/"
            with self._writing.answered(begun, method="POST") as response:
                url = _upload(begun, response.headers.get("location", ""), digest=digest)
            headers = {"content-type": LAYER}
            self._writing.answered(url, method="PUT", headers=headers, body=content).close()
        return {"digest": digest, "size": size}

    def _read(self) -> dict[str, str]:
        """Return the digest of each file's layer."""
        asked = self._reading.answered(self._manifest, headers={"accept": ", ".join(MANIFESTS)})
        document, content = registry.document(asked, url=self._manifest)
        found = files.digest_bytes(content)
        if self._pinned.startswith("sha256:") and found != self._pinned:
            raise errors.AddressError(f"{self._shown} answered what has the digest {found}")
        try:
            titled = [
                layer for layer in document["layers"] if TITLE in (layer.get("annotations") or {})
            ]
            layers = {layer["annotations"][TITLE]: layer["digest"] for layer in titled}
        except (KeyError, TypeError, AttributeError) as error:
            raise errors.AddressError(
                f"{self._shown} has no layers: wanted what `oras push` makes in a package's folder"
            ) from error
        return {title: digest for title, digest in layers.items() if DIGEST.fullmatch(str(digest))}


def _upload(begun: str, location: str, *, digest: str) -> str:
    """Return where a blob is put: where the registry says, and as encrypted as it was asked, which a
    registry behind a proxy does not know."""
    ours, place = (
        urllib.parse.urlsplit(begun),
        urllib.parse.urlsplit(urllib.parse.urljoin(begun, location)),
    )
    scheme = ours.scheme if place.hostname == ours.hostname else place.scheme
    query = "&".join(filter(None, (place.query, urllib.parse.urlencode({"digest": digest}))))
    return urllib.parse.urlunsplit(place._replace(scheme=scheme, query=query))


def parted(path: str) -> tuple[str, str, str]:
    """Return the repository, the tag and the digest that the path of an address names."""
    repository, _, digest = path.strip("/").partition("@")
    parent, slash, last = repository.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{parent}{slash}{name}", tag, digest
