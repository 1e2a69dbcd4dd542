"""Whether a cluster could ever run a pipeline's steps: what fits no node stays Pending for ever, and
what may not be asked for fails at its last step. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fairway import artifacts
from fairway.pipelines import compiled

SUFFIXES = {
    **{suffix: 1000.0**power for power, suffix in enumerate(("", "k", "M", "G", "T", "P"))},
    **{suffix: 1024.0**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
    "m": 1e-3,
}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?)(m|[kMGTP]|[KMGTP]i)?")
KEEPING_OFF = ("NoSchedule", "NoExecute")  # effects of a taint
PASSING = "node.kubernetes.io/"
ASKED = {
    "cpu": ("resourceCpuRequest", "resourceCpuLimit"),
    "memory": ("resourceMemoryRequest", "resourceMemoryLimit"),
}


@dataclass(frozen=True, kw_only=True)
class Right:
    """What a service account must be allowed."""

    verb: str
    group: str
    resource: str


@dataclass(frozen=True, kw_only=True)
class NodeOffer:
    """What a node of the cluster has, and which pods it takes."""

    room: Mapping[str, str]  # its status.allocatable
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()


def _deployments(*verbs: str) -> tuple[Right, ...]:
    return tuple(
        Right(verb=verb, group="fairway.dev", resource="modeldeployments") for verb in verbs
    )


# by the executor whose step needs them
RIGHTS: Mapping[str, tuple[Right, ...]] = {
    "exec-champion": _deployments("get"),
    "exec-deploy": _deployments("get", "create", "patch"),
    "exec-train-distributed": (
        *(
            Right(verb=verb, group="trainer.kubeflow.org", resource="trainjobs")
            for verb in ("get", "create", "delete")
        ),
        Right(verb="get", group="", resource="pods"),
    ),
}


def quantity(text: str) -> float:
    """Return the number that `250m`, `2`, `1.5Gi` or `4G` means; raises ValueError for what is none."""
    match = QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity of Kubernetes: wanted such as 500m, 2 or 4Gi")
    return float(match[1]) * SUFFIXES[match[2] or ""]


def unfit(documents: compiled.Documents, nodes: Sequence[NodeOffer]) -> Iterator[str]:
    """Return a sentence for each step that no node would take, though it were empty."""
    for executor, container in compiled.containers(documents[0]).items():
        step, asked = executor.removeprefix("exec-"), _asked(container)
        placed = compiled.kubernetes_of(documents, executor)
        roomy = [node for node in nodes if _fits(asked, node.room)]
        wanted = placed.get("nodeSelector", {}).get("labels", {})
        named = [node for node in roomy if wanted.items() <= node.labels.items()]
        if not roomy:
            words = ", ".join(f"{amount} {name}" for name, amount in asked.items())
            yield (
                f"step {step} asks for {words}, and none of {len(nodes)} nodes has that: it "
                "would stay Pending; ask for less (pipeline.* of fairway.yaml), or add a node"
            )
        elif not named:
            words = ", ".join(f"{name}={value}" for name, value in wanted.items())
            yield (
                f"step {step} wants a node with the labels {words}, and none of {len(roomy)} that have room for it "
                "has them: it would stay Pending; correct its selector (pipeline.* of fairway.yaml), or label a node"
            )
        elif all(_refuses(node, placed.get("tolerations", ())) for node in named):
            words = next(filter(None, (_refuses(node, ()) for node in named)))
            yield (
                f"step {step} tolerates the taint of none of {len(named)} nodes that could take it, such as {words}: "
                "it would stay Pending; add to its tolerations (pipeline.* of fairway.yaml)"
            )


def lacking(documents: compiled.Documents) -> tuple[Right, ...]:
    """Return what the pipeline's account must be allowed on the cluster."""
    steps = compiled.containers(documents[0])
    needed = (right for step, rights in RIGHTS.items() if step in steps for right in rights)
    return tuple(dict.fromkeys(needed))


def _asked(container: artifacts.Json) -> dict[str, str]:
    resources = container.get("resources", {})
    found = {
        name: next((resources[key] for key in keys if resources.get(key)), None)
        for name, keys in ASKED.items()
    }
    accelerator = resources.get("accelerator", {})
    if accelerator.get("resourceType"):
        found[accelerator["resourceType"]] = accelerator.get("resourceCount", "1")
    return {name: amount for name, amount in found.items() if amount}


def _fits(asked: Mapping[str, str], node: Mapping[str, str]) -> bool:
    return all(quantity(amount) <= quantity(node.get(name, "0")) for name, amount in asked.items())


def _refuses(node: NodeOffer, tolerations: Sequence[Mapping[str, str]]) -> str | None:
    """Return a taint that keeps the step off the node, None where none does. What Kubernetes itself taints a
    node with, such as one that is not ready, passes."""
    for taint in node.taints:
        keeps_off = taint["effect"] in KEEPING_OFF and not taint["key"].startswith(PASSING)
        if keeps_off and not any(_tolerates(one, taint) for one in tolerations):
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"{taint['key']}{value}:{taint['effect']}"
    return None


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    exists = toleration.get("operator") == "Exists"
    return (
        toleration.get("effect", "") in ("", taint["effect"])
        and (toleration.get("key", "") == taint["key"] or (exists and not toleration.get("key")))
        and (exists or toleration.get("value", "") == taint.get("value", ""))
    )
