"""The definition of `modeldeployments.fairway.dev`, made from the models that check it: `python -m
fairway.operator.crd` prints it.

What a model cannot say in a schema stands here as a CEL rule, so that `kubectl apply` answers with
the sentence. Messages are static: joining values in a `messageExpression` exceeds the API server's
cost budget a hundredfold. `--check FILE` compares.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema

from fairway.config import resource, sections
from fairway.platforms.kubernetes import podschema
from fairway.rollout import judge, states

NOTE = (
    "# Written by `make docs` from src/fairway/operator/crd.py and the models that it reads: change those, not this "
    "file.\n"
)

Node = dict[str, Any]


# -- status ----------------------------------------------------------------------------------------------------------

Text = Annotated[str, Field(max_length=1024)]
Name = Annotated[str, Field(max_length=253)]
Time = Annotated[datetime, Field(json_schema_extra={"maxLength": 64})]
Percent = Annotated[int, Field(ge=0, le=states.TOTAL)]


class Arm(sections.Section):
    """A revision and the pods that it has."""

    revision: Name
    """Its short name, 12 characters; its Deployment and Service are named after the resource and
    it."""
    digest: Name | None = None
    """The package's digest."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The server's image, as it was when the revision was first seen."""
    ready_replicas: Annotated[int, Field(ge=0)] | None = None
    """Pods that are ready to answer."""


class StatusCondition(sections.Section):
    """What holds at present, as kstatus and `kubectl wait` read it."""

    type: Annotated[str, Field(max_length=316)]
    """Accepted, Available, Ready, RouteReady, Progressing, Degraded, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that it speaks of."""
    last_transition_time: Time
    """When its status last changed."""
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in a sentence."""


class HistoryRow(sections.Section):
    """A verdict that moved the rollout, or a command."""

    at: Time
    """When it was given."""
    revision: Name | None = None
    """The revision that it is about."""
    phase: Annotated[str, Field(max_length=32)] | None = None
    """The phase that it led to."""
    action: Annotated[str, Field(max_length=32)] | None = None
    """What the judge said, or the command's verb."""
    reason: Text | None = None
    """Why, in a sentence."""
    guard: Name | None = None
    """The guard that decided."""


class GuardEvidence(sections.Section):
    """What speaks against the candidate and for it, by one guard."""

    name: Annotated[str, Field(max_length=63)]
    """The guard's name."""
    harm: float | None = None
    """Log e-value of the bets against the candidate."""
    certificate: float | None = None
    """Log e-value of the certificate that the guard holds."""


class CommandReply(sections.Section):
    """What became of a command."""

    obeyed: bool
    """Whether it changed anything."""
    sentence: Text
    """What it did, or why it changed nothing."""


class Status(sections.Section):
    """What was seen and decided; the operator alone writes it."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that the rest speaks of."""
    phase: states.Phase | None = None
    """Where the deployment stands."""
    weight: Percent | None = None
    """Percent of the units that the candidate serves."""
    mirror: Percent | None = None
    """Percent of the requests that are copied to the candidate."""
    verdict: judge.Action | None = None
    """What the judge said last."""
    reason: Text | None = None
    """Why it stands there, in a sentence."""
    stable: Arm | None = None
    """The revision in service."""
    candidate: Arm | None = None
    """The revision that wants its place."""
    previous: Arm | None = None
    """What was in service before the last promotion; a late rollback returns to it."""
    rejected: Annotated[tuple[Name, ...], Field(max_length=states.HISTORY)] | None = None
    """Revisions that were rolled back; none is tried again until the spec changes or `retry` is
    asked."""
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=16)] | None = None
    """Ready: what is asked for serves, and the gateway answers for it (RouteReady). Stalled: a
    person is needed. The others say where it stands.
    """
    history: Annotated[tuple[HistoryRow, ...], Field(max_length=states.HISTORY)] | None = None
    """The last verdicts and commands, oldest first."""
    guards: Annotated[tuple[GuardEvidence, ...], Field(max_length=16)] | None = None
    """The evidence of the rollout in progress."""
    checkpoint: Annotated[str, Field(max_length=262144)] | None = None
    """The rollout's whole state as JSON, for the operator alone: a new operator goes on from it."""
    last_command: Annotated[str, Field(max_length=512)] | None = None
    """The nonce of the last command that was taken: each is taken once."""
    reply: CommandReply | None = None
    """What became of that command."""


class Root(sections.Section):
    """A model in service, and how its next revision may take its place."""

    spec: resource.Spec
    """What is asked for."""
    status: Status | None = None
    """What was seen and decided; the operator alone writes it."""


# -- rules -----------------------------------------------------------------------------------------------------------

# by path: what must hold, and the sentence where it does not
RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        (
            "size(self.metadata.name) <= 50",
            "metadata.name is longer than 50 characters: objects are named after it and the revision, in 63",
        ),
        (
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            (
                "metadata.name names Services: wanted lower-case letters, digits and hyphens, a letter first and no "
                "hyphen last"
            ),
        ),
    ),
    "spec": (
        (
            "self.routing != 'gateway' || has(self.gateway)",
            "routing gateway needs gateway.parentRefs: the Gateway that requests come in by",
        ),
        (
            "self.routing != 'seldon' || self.runtime == 'seldon'",
            "routing seldon needs runtime seldon: only a SeldonDeployment splits traffic by itself",
        ),
        (
            "self.routing != 'seldon' || has(self.counts)",
            (
                "routing seldon needs counts: the name of queries of a revision's requests and errors, for no gateway "
                "gives them"
            ),
        ),
        (
            "self.routing != 'seldon' || !self.strategy.shadow.enabled",
            (
                "routing seldon has no shadow stage, for its copies cannot be told from requests: set "
                "strategy.shadow.enabled to false, or use routing gateway"
            ),
        ),
    ),
    "spec.runtime": (
        (
            "self == oldSelf",
            "runtime cannot be changed: create a new ModelDeployment, and move traffic to it",
        ),
    ),
    "spec.model.uri": (
        (
            "!self.matches('^[a-z0-9]+://[^/?#]*@')",
            (
                "model.uri has credentials in it, for everybody to read: wanted them in a Secret, which podTemplate "
                "gives "
                "to the init container"
            ),
        ),
    ),
    "spec.routing": (
        (
            "self == oldSelf",
            "routing cannot be changed: create a new ModelDeployment, and move traffic to it",
        ),
    ),
    # Where a section may be absent its default, {}, is judged before its fields have theirs.
    "spec.scaling": (
        (
            "!has(self.maxReplicas) || self.maxReplicas >= self.minReplicas",
            "scaling.maxReplicas is below scaling.minReplicas",
        ),
    ),
    "spec.strategy": (
        (
            (
                "!has(self.guards) || self.mode == 'fused' || self.guards.all(guard, !has(guard.gates) || guard.gates "
                "!= "
                "'watch' || !has(guard.maxRate))"
            ),
            "a guard that only watches certifies nothing: drop its maxRate, or let it gate canary or bake",
        ),
    ),
    "spec.strategy.canary.steps": (
        ("size(self) > 0", "canary.steps is empty: wanted at least one step"),
        (
            (
                "self.map(step, step.weight).isSorted() && self.all(step, self.exists_one(other, other.weight == "
                "step.weight))"
            ),
            "canary.steps weights do not rise: wanted each step above the one before",
        ),
    ),
    "spec.strategy.bake.weight": (
        (
            "self <= 50",
            "bake.weight is above 50: the old revision would keep more than it gives up",
        ),
    ),
    "spec.strategy.guards": (
        (
            "self.all(guard, self.exists_one(other, other.name == guard.name))",
            "two guards have the same name: wanted different names",
        ),
        (
            "self.all(one, self.all(other, !has(one.sliceBy) || !has(other.sliceBy) || one.sliceBy == other.sliceBy))",
            "guards slice by several features: wanted one",
        ),
    ),
    "spec.strategy.hooks": (
        (
            "self.all(hook, self.exists_one(other, other.name == hook.name))",
            "two hooks have the same name: wanted different names",
        ),
    ),
    "spec.strategy.hooks[]": (
        (
            "self.at.all(at, self.at.exists_one(other, other == at))",
            "a hook names a point of the rollout twice: wanted each once",
        ),
        (
            (
                "!self.timeout.endsWith('d') && duration(self.timeout) > duration('0s') && duration(self.timeout) <= "
                "duration('1m')"
            ),
            (
                "a hook's timeout is not above 0 and 1m at most: what takes longer should answer 503 at once and be "
                "asked "
                "again"
            ),
        ),
        (
            "self.onRefusal != 'rollback' || self.at.exists(at, at.startsWith('pre'))",
            "a hook that is only told has onRefusal rollback: wanted it at preRollout, preStep or prePromotion",
        ),
    ),
    "spec.strategy.guards[]": tuple(
        dict.fromkeys((rule.cel, rule.message) for rule in sections.guard_rules())
    ),
}


# -- the definition --------------------------------------------------------------------------------------------------

COLUMNS = (
    ("Revision", "string", ".status.stable.revision"),
    ("Candidate", "string", ".status.candidate.revision"),
    ("Phase", "string", ".status.phase"),
    ("Weight", "integer", ".status.weight"),
    ("Verdict", "string", ".status.verdict"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
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
ELSEWHERE = ("spec.serving.runtime",)  # spec.runtime says it
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
    if path in RULES:
        node["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in RULES[path]
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
