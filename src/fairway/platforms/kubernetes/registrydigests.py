"""The digest of an image, asked of the registry that has it."""

import os
from collections.abc import Mapping

from fairway import errors
from fairway.addresses import registry
from fairway.platforms.kubernetes import imagerefs

HUB = "registry-1.docker.io"  # where container runtimes look for names without a host
ACCEPT = ", ".join(  # an image of several platforms first: its digest is the one of all of them
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def ask(image: imagerefs.ImageRef, *, environment: Mapping[str, str] = os.environ) -> str:
    """Return the digest that the image's tag has now, by the login that `docker login` kept."""
    host, repository = place(image)
    asked = registry.Registry(host, repository, environment=environment)
    try:
        with asked.answered(
            f"{asked.base}/manifests/{image.tag}", method="HEAD", headers={"accept": ACCEPT}
        ) as response:
            digest = str(response.headers.get("docker-content-digest", ""))
    except (errors.AddressError, errors.Unavailable) as error:
        raise errors.AddressError(
            f"the digest of {image.tagged} cannot be asked for: {error}; push it there, or name digests "
            "with --digests"
        ) from error
    if not imagerefs.DIGEST.fullmatch(digest):
        raise errors.AddressError(
            f"{host} says that the digest of {image.tagged} is {errors.shortened(digest)!r}: wanted "
            "sha256:...; name digests with --digests"
        )
    return digest


def place(image: imagerefs.ImageRef) -> tuple[str, str]:
    """Return the host to ask and the repository there."""
    host, _, _ = image.name.partition("/")
    if image.path != image.name and host != "docker.io":
        return host, image.path
    return HUB, image.path if "/" in image.path else f"library/{image.path}"
