"""A revision as its ControllerRevision keeps it: an operator of another version restarts nothing
that serves. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fairway import errors
from fairway.config import resource, sections
from fairway.platforms.kubernetes.objects import names


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What a ControllerRevision keeps of a revision."""

    name: str
    model: resource.Model
    image: str
    runtime: str
    serving: sections.Serving
    pod_template: Mapping[str, Any]
    defaulted_image: bool
    number: int = 0  # its place in the order of their coming, from 1
    template: Mapping[str, Any] | None = None  # its pods as they were first rendered; None: not yet


def write(
    owner: names.Owner, revision: Revision, *, number: int, template: names.Object
) -> names.Object:
    """Return the object that keeps a revision with the template of its pods: its data cannot be
    changed once it is there.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": names.metadata(owner, revision.name),
        "revision": number,
        "data": {
            "model": revision.model.model_dump(mode="json", by_alias=True),
            "image": revision.image,
            "runtime": revision.runtime,
            "serving": revision.serving.model_dump(mode="json", by_alias=True),
            "podTemplate": dict(revision.pod_template),
            "defaultedImage": revision.defaulted_image,
            "template": template,
        },
    }


def read(obj: Mapping[str, Any]) -> Revision:
    """Return the revision that a ControllerRevision keeps; raises PlatformError where it is not one
    of ours."""
    name = obj["metadata"]["name"]
    try:
        data = obj["data"]
        return Revision(
            name=obj["metadata"]["labels"][f"{resource.GROUP}/revision"],
            model=resource.Model.model_validate(data["model"]),
            image=data["image"],
            runtime=data["runtime"],
            serving=sections.Serving.model_validate(data["serving"]),
            pod_template=data["podTemplate"],
            defaulted_image=data["defaultedImage"],
            number=int(obj["revision"]),
            template=data.get("template"),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise errors.PlatformError(
            f"ControllerRevision {name} cannot be read ({' '.join(str(error).split())[:200]}): wanted one that fairway "
            "wrote; "
            "delete it if no pod of its revision runs"
        ) from error
