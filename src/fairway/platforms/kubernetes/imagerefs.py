"""The images that a chart's values, manifests and pipelines name, and the same ones in a mirror."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fairway import errors

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REFERENCE = re.compile(
    r"(?P<name>(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    rf"(?:@(?P<digest>{DIGEST.pattern}))?"
)
# `image: NAME` of a container or a step, and the operator's variables SERVER_IMAGE and SELDON_IMAGE
NAMED = re.compile(r"^[ -]*(?:image|name: \w+_IMAGE\n +value): +['\"]?([^\s'\"]+)", re.MULTILINE)
# as container runtimes tell a host from the first part of a name: by a dot, a port, or `localhost`
HOST = re.compile(r"(?:[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d+)?|localhost|[a-zA-Z0-9-]+:\d+)")
REGISTRY = re.compile(rf"{HOST.pattern}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class ImageRef:
    """One image: a name with or without a registry's host, and a tag, a digest, or both."""

    name: str
    tag: str = ""
    digest: str = ""

    @property
    def tagged(self) -> str:
        """What a copy is written under: a registry may drop what has no tag."""
        return f"{self.name}:{self.tag}" if self.tag else f"{self.name}@{self.digest}"

    @property
    def pulled(self) -> str:
        """What pods name: the digest alone where it is known, as the chart does."""
        return f"{self.name}@{self.digest}" if self.digest else self.tagged

    @property
    def text(self) -> str:
        """All that is known of it."""
        return f"{self.tagged}@{self.digest}" if self.tag and self.digest else self.pulled

    @property
    def path(self) -> str:
        """The name without a registry's host."""
        host, slash, rest = self.name.partition("/")
        return rest if slash and HOST.fullmatch(host) else self.name

    def within(self, registry: str | None) -> "ImageRef":
        """Return the image as it is named in a mirror; as it is where there is none."""
        return dataclasses.replace(self, name=f"{registry}/{self.path}") if registry else self


def parse(text: str) -> ImageRef:
    """Return the image that a reference names; raises UsageError where that is none, or one that
    moves."""
    found = REFERENCE.fullmatch(text)
    if found is None or not (found["digest"] or found["tag"]) or found["tag"] == "latest":
        raise errors.UsageError(
            f"{text!r} names no image that stays the same: wanted NAME:TAG or NAME@sha256:DIGEST, "
            "such as fairway/operator:0.1.0"
        )
    return ImageRef(**{part: value or "" for part, value in found.groupdict().items()})


def in_text(text: str) -> set[str]:
    """Return the references that a manifest or a compiled pipeline has."""
    return set(NAMED.findall(text))


def in_values(
    values: Mapping[str, Any], *, version: str, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ImageRef]]:
    """Give each image of a chart's values with its place; an empty tag is the chart's version."""
    for key, value in values.items():
        if isinstance(value, Mapping) and "repository" in value:
            name = "/".join(filter(None, (value["registry"], value["repository"])))
            tag = "" if value["digest"] else value["tag"] or version
            yield (*at, key), ImageRef(name=name, tag=tag, digest=value["digest"])
        elif isinstance(value, Mapping):
            yield from in_values(value, version=version, at=(*at, key))


def listed(text: str, *, source: str) -> Callable[[ImageRef], str]:
    """Return what knows the digests of a text with lines NAME:TAG@sha256:DIGEST."""
    known = {}
    for number, line in enumerate(text.splitlines(), start=1):
        found = REFERENCE.fullmatch(line.strip())
        if found is not None and found["tag"] and found["digest"]:
            known[f"{found['name']}:{found['tag']}"] = found["digest"]
        elif line.strip() and not line.startswith("#"):
            raise errors.UsageError(
                f"{source}, line {number}: {errors.shortened(line)!r} names no image with its digest: "
                "wanted NAME:TAG@sha256:DIGEST"
            )

    def digest_of(image: ImageRef) -> str:
        if image.tagged not in known:
            raise errors.UsageError(
                f"{source} has no digest of {image.tagged}: wanted a line {image.tagged}@sha256:DIGEST, "
                f"with what `crane digest {image.tagged}` says"
            )
        return known[image.tagged]

    return digest_of


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Return the text with each reference changed where it stands alone."""
    names = "|".join(re.escape(name) for name in sorted(changes, reverse=True))
    alone = rf"(?<![\w./:@-])(?:{names})(?![\w.@-])"
    return re.sub(alone, lambda found: changes[found[0]], text)
