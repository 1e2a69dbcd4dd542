"""Builds an image with the program for it that this machine has, and puts it in a registry."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fairway import errors

BUILDERS = ("docker", "podman", "buildah")
ANSWER_SECONDS = 10.0  # for docker's daemon


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """What was built; `image` is what names it best."""

    image: str
    tag: str
    id: str
    digest: str | None  # None where it is on this machine alone
    builder: str


def choose(asked: str | None) -> str:
    """Return the builder: the asked one, or the first that works here."""
    for builder in [asked] if asked else BUILDERS:
        if _works(builder):
            return builder
    lacking = f"{asked} does not work" if asked else "there is no builder"
    raise errors.UsageError(
        f"{lacking} here: wanted docker, podman or buildah, or build elsewhere what --print prints"
    )


def build(builder: str, *, folder: Path, tag: str, push: bool) -> BuiltImage:
    """Build the Dockerfile in the folder of what is in its `context`; with `push` put the image in its
    registry, which knows it by a digest."""
    made, file = folder / "id", folder / "Dockerfile"
    said = ("--file", str(file), "--iidfile", str(made), "--tag", tag)
    _run(builder, "build", *said, str(folder / "context"))
    digest = _push(builder, tag=tag, file=folder / "digest") if push else None
    image = f"{repository(tag)}@{digest}" if digest else tag
    return BuiltImage(
        image=image, tag=tag, id=made.read_text().strip(), digest=digest, builder=builder
    )


def repository(tag: str) -> str:
    """Return the tag's name without its version; a port stays."""
    name, colon, version = tag.rpartition(":")
    return name if colon and "/" not in version else tag


def _push(builder: str, *, tag: str, file: Path) -> str:
    if builder != "docker":
        _run(builder, "push", "--digestfile", str(file), tag)
        return file.read_text().strip()
    _run(builder, "push", tag)
    asked = ("docker", "image", "inspect", "--format", "{{json .RepoDigests}}", tag)
    done = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=False)
    for name in json.loads(done.stdout or "null") or ():
        if name.startswith(f"{repository(tag)}@"):
            return str(name).partition("@")[2]
    raise errors.PlatformError(
        f"docker pushed {tag} and knows no digest of it: wanted one in `docker image inspect {tag}`"
    )


def _works(builder: str) -> bool:
    if shutil.which(builder) is None:
        return False
    if builder != "docker":
        return True
    asked = ("docker", "version", "--format", "{{.Server.Version}}")  # its daemon may be down
    try:
        done = subprocess.run(asked, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _run(*command: str) -> None:
    """Run the builder, its words on stderr."""
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise errors.PlatformError(
            f"`{' '.join(command[:2])}` ended with {done.returncode}: its words above say why; mend that, build again"
        )
