"""One repository of a container registry, by its distribution API and the standard library.

Credentials are those of `docker login`: DOCKER_AUTH_CONFIG holds them (a Secret of the type
kubernetes.io/dockerconfigjson is such a text), or the file config.json below DOCKER_CONFIG or
~/.docker. The registry is shown them, and over https its own host where it gives tokens;
FAIRWAY_FETCH_REALMS names other hosts that may have them. Clients of registries send a login wherever
a challenge says: hence these few requests of our own.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from fairway import errors
from fairway.addresses import web

LARGEST_DOCUMENT = 16 << 20
# registries of this machine are asked without TLS, as docker does
PLAIN = ("localhost", "127.0.0.1", "::1")
REALMS = {
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}  # whose tokens come from another host of theirs
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """A registry, asked for one of its repositories with the login that its challenge wants: once
    more with a new token where the last one has run out."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        environment: Mapping[str, str],
        actions: Literal["pull", "pull,push"] = "pull",
    ) -> None:
        name = urllib.parse.urlsplit(f"//{host}").hostname
        self._host, self._scope = name, f"repository:{repository}:{actions}"
        self._shown = f"oci://{host}/{repository}"
        self.base = f"{'http' if name in PLAIN else 'https'}://{host}/v2/{repository}"
        self._login = _login(host, environment)
        self._realms = environment.get("FAIRWAY_FETCH_REALMS", "").replace(",", " ").split()
        self._authorization: dict[str, str] = {}

    def answered(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | Path = b"",
    ) -> http.client.HTTPResponse:
        """Return the registry's answer where it is 2xx; raises as `web.answered` does."""

        def ask() -> http.client.HTTPResponse:
            # a registry may send an upload to another host, which its login is not for
            ours = urllib.parse.urlsplit(url).hostname == self._host
            said = {**(headers or {}), **(self._authorization if ours else {})}
            return web.answered(url, method=method, headers=said, body=body)

        try:
            return ask()
        except web.LoginWanted as refused:
            authorization = self._authorized(refused.challenge)
            if not authorization:
                raise
            self._authorization = authorization
        return ask()

    def _authorized(self, challenge: str) -> dict[str, str]:
        """Return the Authorization that the challenge asks for."""
        kind, _, rest = challenge.partition(" ")
        basic = {"authorization": f"Basic {self._login}"} if self._login else {}
        if kind.lower() != "bearer":
            return basic
        fields = dict(CHALLENGE.findall(rest))
        realm = fields.get("realm", "")
        self._check_realm(realm)
        query = {"service": fields["service"]} if "service" in fields else {}
        query |= {"scope": self._scope}
        asked = f"{realm}?{urllib.parse.urlencode(query)}"
        answer = document(web.answered(asked, headers=basic), url=realm)[0]
        token = answer.get("token") or answer.get("access_token")
        return {"authorization": f"Bearer {token}"} if token else {}

    def _check_realm(self, realm: str) -> None:
        """Raise AddressError unless tokens may be asked for there: encrypted, and with a login only
        where the login belongs."""
        place = urllib.parse.urlsplit(realm)
        shown = errors.shortened(repr(web.shown(realm)))
        plain = place.scheme == "http" and place.hostname in PLAIN and self._host in PLAIN
        if not place.hostname or not (place.scheme == "https" or plain):
            raise errors.AddressError(
                f"{self._shown} asks for a token from {shown}: wanted an https address"
            )
        if self._login and place.hostname not in (
            self._host,
            REALMS.get(str(self._host)),
            *self._realms,
        ):
            raise errors.AddressError(
                f"{self._shown} wants its login sent to {shown}, which is another host: where that is right, name it "
                f"in FAIRWAY_FETCH_REALMS"
            )


def document(response: http.client.HTTPResponse, *, url: str) -> tuple[dict[str, Any], bytes]:
    """Return the JSON object that an answer is, and its bytes."""
    content = b""
    for chunk in web.body(response, url=url):
        content += chunk
        if len(content) > LARGEST_DOCUMENT:
            raise errors.AddressError(
                f"{web.shown(url)} is larger than {LARGEST_DOCUMENT} bytes: is it a registry?"
            )
    try:
        found = json.loads(content)
    except (RecursionError, ValueError) as error:
        raise errors.AddressError(
            f"{web.shown(url)} is no JSON ({error}): is it a registry?"
        ) from error
    if not isinstance(found, dict):
        raise errors.AddressError(f"{web.shown(url)} is no JSON object: is it a registry?")
    return found, content


def _login(registry: str, environment: Mapping[str, str]) -> str | None:
    """Return the base64 of user:password that `docker login` kept for the registry."""
    keys = (
        registry,
        f"https://{registry}",
        f"https://{registry}/v1/",
        f"https://{registry}/v2/",
    )
    for kept in _kept(environment):
        for entry in (kept.get(key) or {} for key in keys):
            if entry.get("auth"):
                return str(entry["auth"])
            if entry.get("username"):
                login = f"{entry['username']}:{entry.get('password', '')}"
                return base64.b64encode(login.encode()).decode()
    return None


def _kept(environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Give the logins of the variable, then those of the file, as docker looks for them."""
    usual = os.path.join(environment.get("HOME", ""), ".docker")
    file = Path(environment.get("DOCKER_CONFIG") or usual) / "config.json"
    with contextlib.suppress(ValueError, AttributeError):
        yield json.loads(environment.get("DOCKER_AUTH_CONFIG", "")).get("auths", {})
    with contextlib.suppress(OSError, ValueError, AttributeError):
        yield json.loads(file.read_text(encoding="utf-8")).get("auths", {})
