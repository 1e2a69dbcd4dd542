"""A ModelDeployment's own objects: made, changed and deleted only where its owner reference says
that they are.

The operator may write where those who write ModelDeployments may not. An object of the same name
that somebody else made stays as it is, whatever its labels say: the request is refused with a
sentence.
"""

from collections.abc import Mapping
from typing import Any

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import api

# a patch of the very same data is refused where it is written in another order
UNCHANGEABLE = ("ControllerRevision",)


class Foreign(errors.PlatformError):
    """An object of the name is there, and is somebody else's."""


def controlled(found: Mapping[str, Any], *, uid: str) -> bool:
    """Return whether the owner of that uid controls the object."""
    reference = controller(found)
    return bool(uid) and reference is not None and reference.get("uid") == uid


def controller(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of the object's controller."""
    references = found["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def apply(server: api.Api, obj: Mapping[str, Any]) -> api.Object:
    """Make the object what it should be, and return what it is now.

    Raises Foreign where another's has its name, Unavailable while one of an earlier owner of the
    same name is being deleted.
    """
    metadata = obj["metadata"]
    found = server.get(obj["kind"], metadata["namespace"], metadata["name"])
    if found is None:
        # an apply would take over what was made in between
        found = server.create(obj, manager=api.MANAGER)
    else:
        _require(found, obj)
    if obj["kind"] in UNCHANGEABLE:
        return found
    made = server.apply({**obj, "metadata": {**metadata, "uid": found["metadata"]["uid"]}})
    return server.unmanage(made)


def delete(server: api.Api, kind: str, *, namespace: str, name: str, uid: str) -> None:
    """Delete the object where the owner of that uid controls it; one that is another's, or not
    there, is let be."""
    found = server.get(kind, namespace, name)
    if found is not None and controlled(found, uid=uid):
        server.delete(kind, namespace, name, uid=found["metadata"]["uid"])


def _require(found: Mapping[str, Any], obj: Mapping[str, Any]) -> None:
    """Raise where what is there is not the owner's to change."""
    metadata = obj["metadata"]
    owner = controller(obj) or {}
    said = f"{obj['kind']} {metadata['name']}"
    if controlled(found, uid=str(owner.get("uid", ""))):
        if found["metadata"].get("deletionTimestamp"):
            raise errors.Unavailable(f"{said} is being deleted: it is made anew when it has gone")
        return
    other = controller(found)
    if other is not None and _earlier(other, owner):
        raise errors.Unavailable(
            f"{said} belongs to an earlier ModelDeployment {owner.get('name')}, and goes with it: it is made anew then"
        )
    by = (
        f"{other.get('kind')} {other.get('name')} controls it"
        if other is not None
        else "no ModelDeployment controls it"
    )
    raise Foreign(
        f"{said} is not fairway's: {by}; rename the ModelDeployment {owner.get('name')}, or delete the {obj['kind']} "
        "if nothing needs it"
    )


def _earlier(other: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Return whether the other controller is a ModelDeployment of the same name, which must have
    gone for this one to be.
    """
    group = str(other.get("apiVersion", "")).partition("/")[0]
    return (group, other.get("kind"), other.get("name")) == (
        resource.GROUP,
        resource.KIND,
        owner.get("name"),
    )
