"""Files in a container registry, by its distribution API and the standard library.

The artifact is one that `oras push REGISTRY/REPOSITORY:TAG *` makes in a package's folder: a layer
for each file, with its name as `org.opencontainers.image.title`. Credentials are those of `docker
login`: the file config.json below DOCKER_CONFIG or ~/.docker. The registry is shown them, and over
https its own host where it gives tokens; FAIRWAY_FETCH_REALMS names other hosts that may have them.
"""

import base64
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairway import errors
from fairway.addresses import web

TITLE = "org.opencontainers.image.title"
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LARGEST_DOCUMENT = 16 << 20
# registries of this machine are asked without TLS, as docker does
PLAIN = ("localhost", "127.0.0.1", "::1")
REALMS = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}  # whose tokens come from another host of theirs
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Repository:
    """One artifact of a repository; `tag` is taken where the address names none."""

    def __init__(self, uri: str, *, tag: str, environment: Mapping[str, str]) -> None:
        place = urllib.parse.urlsplit(uri)
        self._registry = place.netloc
        path = place.path.strip("/")
        repository, at, digest = path.partition("@")
        name, _, named = repository.rpartition("/")[2].partition(":")
        parent = repository.rpartition("/")[0]
        self._repository = f"{parent}/{name}" if parent else name
        self._reference = digest if at else named or tag
        self._base = f"{'http' if place.hostname in PLAIN else 'https'}://{self._registry}/v2/{self._repository}"
        self._manifest = f"{self._base}/manifests/{self._reference}"
        self._login = _login(self._registry, environment)
        self._realms = environment.get("FAIRWAY_FETCH_REALMS", "").replace(",", " ").split()
        self._layers: dict[str, str] | None = None

    def chunks(self, name: str) -> Iterator[bytes]:
        # for each file anew: a token lives for minutes, a download may take longer
        headers = self._headers()
        if self._layers is None:
            self._layers = self._read(headers)
        digest = self._layers.get(name)
        if digest is None:
            raise errors.AddressError(
                f"{self._shown} has no layer with the title {name}: wanted what `oras push` makes in a package's folder"
            )
        yield from web.stream(f"{self._base}/blobs/{digest}", headers=headers)

    @property
    def _shown(self) -> str:
        return f"oci://{self._registry}/{self._repository}:{self._reference}"

    def _read(self, headers: dict[str, str]) -> dict[str, str]:
        """Return the digest of each file's layer."""
        document = _document(self._manifest, headers={"accept": ", ".join(MANIFESTS), **headers})
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

    def _headers(self) -> dict[str, str]:
        """Return the Authorization that the registry asks for before it shows this artifact."""
        kind, _, rest = web.challenge(self._manifest, accept=", ".join(MANIFESTS)).partition(" ")
        basic = {"authorization": f"Basic {self._login}"} if self._login else {}
        if kind.lower() != "bearer":
            return basic if kind else {}
        fields = dict(CHALLENGE.findall(rest))
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        query.setdefault("scope", f"repository:{self._repository}:pull")
        realm = fields.get("realm", "")
        self._check_realm(realm)
        answer = _document(f"{realm}?{urllib.parse.urlencode(query)}", headers=basic)
        token = answer.get("token") or answer.get("access_token")
        return {"authorization": f"Bearer {token}"} if token else {}

    def _check_realm(self, realm: str) -> None:
        """Raise AddressError unless tokens may be asked for there: encrypted, and with a login only
        where the login belongs."""
        place, ours = urllib.parse.urlsplit(realm), urllib.parse.urlsplit(self._base)
        shown = errors.shortened(repr(web.shown(realm)))
        plain = place.scheme == "http" and place.hostname in PLAIN and ours.hostname in PLAIN
        if not place.hostname or not (place.scheme == "https" or plain):
            raise errors.AddressError(
                f"{self._shown} asks for a token from {shown}: wanted an https address"
            )
        if self._login and place.hostname not in (
            ours.hostname,
            REALMS.get(str(ours.hostname)),
            *self._realms,
        ):
            raise errors.AddressError(
                f"{self._shown} wants its login sent to {shown}, which is another host: where that is right, name it "
                f"in FAIRWAY_FETCH_REALMS"
            )


def _document(url: str, *, headers: dict[str, str]) -> dict[str, Any]:
    content = b""
    for chunk in web.stream(url, headers=headers):
        content += chunk
        if len(content) > LARGEST_DOCUMENT:
            raise errors.AddressError(
                f"{web.shown(url)} is larger than {LARGEST_DOCUMENT} bytes: is it a registry?"
            )
    try:
        document = json.loads(content)
    except (RecursionError, ValueError) as error:
        raise errors.AddressError(
            f"{web.shown(url)} is no JSON ({error}): is it a registry?"
        ) from error
    if not isinstance(document, dict):
        raise errors.AddressError(f"{web.shown(url)} is no JSON object: is it a registry?")
    return document


def _login(registry: str, environment: Mapping[str, str]) -> str | None:
    """Return the base64 of user:password that `docker login` kept for the registry."""
    folder = environment.get("DOCKER_CONFIG") or os.path.join(
        environment.get("HOME", ""), ".docker"
    )
    try:
        kept = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get(
            "auths", {}
        )
    except (OSError, ValueError, AttributeError):
        return None
    for key in (
        registry,
        f"https://{registry}",
        f"https://{registry}/v1/",
        f"https://{registry}/v2/",
    ):
        entry = kept.get(key) or {}
        if entry.get("auth"):
            return str(entry["auth"])
        if entry.get("username"):
            return base64.b64encode(
                f"{entry['username']}:{entry.get('password', '')}".encode()
            ).decode()
    return None
