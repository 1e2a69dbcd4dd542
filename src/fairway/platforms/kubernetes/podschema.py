"""The schema of a pod template, as a CustomResourceDefinition takes it: made from the client's own
models, so that it has the fields of its Kubernetes.

With it the API server refuses what is no part of a pod, and nothing can be nested without end.
Descriptions and what is required are left to Kubernetes, which checks the pods; any field may be
null, which takes away one of ours.
"""

import re
from typing import Any

Node = dict[str, Any]

TYPE = re.compile(r"list\[(?P<item>\w+)\]|dict\(str, (?P<value>.+)\)|(?P<one>\w+)")
# of a type: all that a template may say; the rest is the API server's, or for debugging
ABOUT_A_POD = {
    "V1ObjectMeta": ("labels", "annotations"),
}
NEVER = ("ephemeralContainers",)
QUANTITIES = (
    "limits",
    "requests",
    "overhead",
    "sizeLimit",
    "divisor",
)  # the client calls them text; a number is one too
LONGEST, MOST = 65536, 256
SCALARS: dict[str, Node] = {
    "str": {"type": "string", "maxLength": LONGEST},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "object": {"x-kubernetes-int-or-string": True},
}


def template() -> Node:
    """Return the schema of a PodTemplateSpec."""
    return _type("V1PodTemplateSpec", name="")


def _type(written: str, *, name: str) -> Node:
    """Return the schema of a field by the type that the client's model gives it, and by its name."""
    found = TYPE.fullmatch(written)
    if found is None:
        raise ValueError(f"{name} is of type {written!r}: wanted a list, a dict or a name")
    if found["item"]:
        return {
            "type": "array",
            "nullable": True,
            "maxItems": MOST,
            "items": _type(found["item"], name=name),
            "x-kubernetes-list-type": "atomic",
        }
    if found["value"]:
        return {
            "type": "object",
            "nullable": True,
            "maxProperties": MOST,
            "additionalProperties": _type(found["value"], name=name),
        }
    if found["one"] in SCALARS:
        return {**SCALARS["object" if name in QUANTITIES else found["one"]], "nullable": True}
    return _model(found["one"])


def _model(written: str) -> Node:
    from kubernetes.client import models

    model = getattr(models, written)
    fields = {
        name: model.openapi_types[attribute]
        for attribute, name in model.attribute_map.items()
        if name in ABOUT_A_POD.get(written, (name,)) and name not in NEVER
    }
    return {
        "type": "object",
        "nullable": True,
        "properties": {name: _type(kind, name=name) for name, kind in sorted(fields.items())},
    }
