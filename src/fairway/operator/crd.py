"""The definition of `modeldeployments.fairway.dev`, made from the models that check it: `python -m
fairway.operator.crd` prints it.

What a model cannot say in a schema is one of `rules`. `--check FILE` compares.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from fairway.config import resource, sections
from fairway.operator import reported, rules
from fairway.platforms.kubernetes import podschema

NOTE = (
    "# Written by `make docs` from src/fairway/operator/crd.py and the models that it reads: change those, not this "
    "file.\n"
)

Node = dict[str, Any]


class Root(sections.Section):
    """A model in service, and how its next revision may take its place."""

    spec: resource.Spec
    """What is asked for."""
    status: reported.Status | None = None
    """What was seen and decided; the operator writes it, and of `monitoring` the monitor."""


COLUMNS = (
    ("Revision", "string", ".status.stable.revision"),
    ("Candidate", "string", ".status.candidate.revision"),
    ("Phase", "string", ".status.phase"),
    ("Weight", "integer", ".status.weight"),
    ("Verdict", "string", ".status.verdict"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Drift", "string", ".status.monitoring.drift"),
    ("Age", "date", ".metadata.creationTimestamp"),
    ("Reason", "string", ".status.reason"),
)
OBJECT = {  # what every object has; the API server itself checks it
    "apiVersion": {
        "description": f"{resource.GROUP}/{resource.VERSION}.",
        "type": "string",
        "maxLength": 64,
    },
    "kind": {"description": f"{resource.KIND}.", "type": "string", "maxLength": 64},
    "metadata": {"type": "object"},
}
TEMPLATE = "spec.podTemplate"  # Kubernetes' own
ELSEWHERE = (
    "spec.serving.runtime",  # spec.runtime says it
    "spec.monitoring.engine",  # the monitor's own, as how often it looks
    "spec.monitoring.beside",
    "spec.monitoring.interval",
    "spec.monitoring.retention",  # the collector's
    "spec.retraining.maxNewRows",  # the pipeline's
    "spec.retraining.deploy",
    "spec.retraining.heldOut",
    "spec.retraining.sliding",
)
UNEXPLAINED = {"spec.gateway.parentRefs[].name": "The Gateway's name."}
# Lists that are merged by a key; the others are replaced whole. spec.strategy.guards has names too,
# but a merge would add what server-side apply brings to the guards that came by default, and they
# could never be left out.
KEYS = {"status.conditions": "type", "status.guards": "name"}
ORDER = (
    "description",
    "type",
    "format",
    "pattern",
    "enum",
    "default",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)


def main(arguments: list[str]) -> int:
    """Print the definition; with `--check FILE` gives 1 and a sentence where the file holds
    another."""
    match arguments:
        case []:
            print(text(), end="")
        case ["--check", name]:
            path = Path(name)
            if not path.is_file() or path.read_text(encoding="utf-8") != text():
                print(
                    f"{name} is not what the models say: run `make docs` and commit the result",
                    file=sys.stderr,
                )
                return 1
        case _:
            print("usage: python -m fairway.operator.crd [--check FILE]", file=sys.stderr)
            return 2
    return 0


def text() -> str:
    """Return the definition as YAML."""
    # one object in two places would become an anchor
    written = json.loads(json.dumps(definition()))
    return NOTE + yaml.safe_dump(written, sort_keys=False, width=140, allow_unicode=True)


def definition() -> Node:
    """Return the CustomResourceDefinition."""
    plural, singular = resource.PLURAL, resource.KIND.lower()
    version = {
        "name": resource.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} for name, kind, path in COLUMNS
        ],
        "schema": {"openAPIV3Schema": whole()},
    }
    names = {
        "kind": resource.KIND,
        "listKind": f"{resource.KIND}List",
        "plural": plural,
        "singular": singular,
        "shortNames": ["md"],
        "categories": ["fairway"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{resource.GROUP}"},
        "spec": {
            "group": resource.GROUP,
            "names": names,
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def whole() -> Node:
    """Return the structural schema with the fields of a pod template."""
    node = json.loads(json.dumps(root()))
    node["properties"]["spec"]["properties"]["podTemplate"] |= {
        "properties": podschema.template()["properties"]
    }
    return dict(node)


def root() -> Node:
    """Return the structural schema of the object, as far as it is ours: a pod template's fields are
    Kubernetes' own."""
    described = Root.model_json_schema(by_alias=True, schema_generator=Written)
    node = structural(described, definitions=described["$defs"], path="")
    return node | {"properties": OBJECT | node["properties"]}


def nodes(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Return each part of a schema with its path, outermost first; the items of a list have `[]`
    after its name."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


class Written(GenerateJsonSchema):
    """A schema whose defaults are written as in the file; a section's says only what differs from
    its own fields' defaults.
    """

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return sections.format_duration(dft)
            case BaseModel():
                return dft.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            case tuple():
                return [self.encode_default(item) for item in dft]
        return super().encode_default(dft)


def structural(node: Node, *, definitions: Mapping[str, Node], path: str) -> Node:
    """Return a JSON schema as the API server takes it: references written out, no null, exclusive
    bounds as flags, rules added.
    """
    node = plain(node, definitions)
    if node.get("const") is not None:
        node["enum"] = [node["const"]]
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in node:
            node |= {bound: node[exclusive], exclusive: True}
    if node.get("default", ...) is None:
        del node["default"]
    if "properties" in node:
        node["properties"] = {
            name: structural(inner, definitions=definitions, path=at)
            for name, inner in node["properties"].items()
            if (at := f"{path}.{name}".lstrip(".")) not in ELSEWHERE
        }
    elif node["type"] == "object" and path != TEMPLATE:
        raise ValueError(
            f"{path} has no schema: the API server would take anything there, nested as deep as it comes"
        )
    if node["type"] == "array":
        key = KEYS.get(path)
        node |= {
            "items": structural(node["items"], definitions=definitions, path=f"{path}[]"),
            "x-kubernetes-list-type": "map" if key else "atomic",
        }
        node |= {"x-kubernetes-list-map-keys": [key]} if key else {}
    if path in rules.RULES:
        node["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in rules.RULES[path]
        ]
    if said := node.get("description", UNEXPLAINED.get(path)):
        node["description"] = " ".join(said.split())
    return {word: node[word] for word in ORDER if word in node}


def plain(node: Node, definitions: Mapping[str, Node]) -> Node:
    """Return the node that references and choices stand for; what is said beside them wins."""
    while choice := next((word for word in ("$ref", "anyOf", "oneOf") if word in node), None):
        beside = {word: value for word, value in node.items() if word != choice}
        if choice == "$ref":
            node = definitions[node["$ref"].rpartition("/")[2]] | beside
        elif choice == "anyOf":  # with null
            (kind,) = (option for option in node["anyOf"] if option.get("type") != "null")
            node = kind | beside
        else:
            node = merged([plain(option, definitions) for option in node["oneOf"]]) | beside
    return dict(node)


def merged(options: Sequence[Node]) -> Node:
    """Return one object for several that a field named `type` tells apart; a field that not every
    type has names those that have it.

    Their rules say which of them go together: the API server takes no choice of objects.
    """
    types = [option["properties"]["type"]["const"] for option in options]
    having: dict[str, list[str]] = {}
    properties: dict[str, Node] = {}
    for name, option in zip(types, options, strict=True):
        for field, node in option["properties"].items():
            having.setdefault(field, []).append(name)
            properties.setdefault(field, node)
    for field, names in having.items():
        said = properties[field].get("description", "")
        if len(names) < len(types):
            properties[field] = properties[field] | {
                "description": f"{', '.join(names).capitalize()}: {said[:1].lower()}{said[1:]}"
            }
    kinds = " ".join(
        f"{name}: {option['description']}" for name, option in zip(types, options, strict=True)
    )
    properties["type"] = {"type": "string", "enum": types, "description": kinds}
    required = [
        name for name in properties if all(name in option.get("required", ()) for option in options)
    ]
    return {
        "type": "object",
        "description": sections.Guard.__doc__,
        "properties": properties,
        "required": required,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
