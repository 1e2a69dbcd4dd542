"""Whether a cluster could ever run a pipeline's steps: what fits no node stays Pending for ever, and
what may not be asked for fails at its last step. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fairway import artifacts
from fairway.pipelines import compiled

SUFFIXES = {
    **{suffix: 1000.0**power for power, suffix in enumerate(("", "k", "M", "G", "T", "P"))},
    **{suffix: 1024.0**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
    "m": 1e-3,
}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?)(m|[kMGTP]|[KMGTP]i)?")
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


# by the executor whose step needs them
RIGHTS: Mapping[str, tuple[Right, ...]] = {
    "exec-deploy": tuple(
        Right(verb=verb, group="fairway.dev", resource="modeldeployments")
        for verb in ("get", "create", "patch")
    ),
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


def unfit(documents: compiled.Documents, nodes: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Return a sentence for each step that no node has room for, though it were empty; `nodes` are
    their `status.allocatable`."""
    for executor, container in compiled.containers(documents[0]).items():
        asked = _asked(container)
        if asked and not any(_fits(asked, node) for node in nodes):
            words = ", ".join(f"{amount} {name}" for name, amount in asked.items())
            yield (
                f"step {executor.removeprefix('exec-')} asks for {words}, and none of {len(nodes)} nodes has that: it "
                "would stay Pending; ask for less (pipeline.* of fairway.yaml), or add a node"
            )


def lacking(documents: compiled.Documents) -> tuple[Right, ...]:
    """Return what the pipeline's account must be allowed on the cluster."""
    steps = compiled.containers(documents[0])
    return tuple(right for step, rights in RIGHTS.items() if step in steps for right in rights)


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
