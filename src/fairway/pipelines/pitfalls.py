"""Refuses a compiled pipeline that is known to fail silently: what kfp compiles is not always what
runs.

Each finding is one sentence that names the step and the remedy. Pure: the compiled documents in,
sentences out.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fairway import artifacts, errors
from fairway.pipelines import compiled

GPU = "nvidia.com/gpu"
SIDE_EFFECT = "fairway.dev/side-effect"  # the pod label that says so
# imports of what asks or changes a place that the step's inputs at most name
OUTSIDE_IMPORTS = (
    "from fairway.platforms",
    "import fairway.platforms",
    "from fairway.data import importing",
    "from fairway.data import validate",
    "from fairway.packaging import publish",
    "from fairway.pipelines import batch_prediction",
    "from fairway.pipelines import inputs, notification",
)
INSTALLS = re.compile(
    r"\b(?:pip3?|conda|mamba|apt|apt-get)[\s\"',]+(?:-\S+[\s\"',]+)*install\b"
)  # also as a list of arguments
# bytes: all inputs of a step are one argument of a process, in which Linux takes 128 KiB; the rest is for artifacts
LARGEST_INPUTS = 120 << 10
LARGEST_OBJECT = (
    1536 << 10
)  # bytes that etcd takes: the Workflow holds all of the pipeline, as text
QUOTED = re.compile(r"[=!<>]=? '(.*)'\)?$", re.DOTALL)
TERMS = re.compile(r" && (?=!?\(?(?:\w+\()?inputs\.)")  # of an Elif: the branches before it, denied
TURNED = {"'": "quote", "\\": "backslash", "\n": "line's end"}  # in a condition: another text
CHANNEL = re.compile(r"parameter_values\['([^']+)'\]")
LIMITS = {"resourceCpuLimit": "CPU", "resourceMemoryLimit": "memory"}


def findings(documents: compiled.Documents, *, environment: str) -> tuple[str, ...]:
    """Return what would fail silently, one sentence each; nothing where the pipeline is sound."""
    pipeline = documents[0]
    steps = compiled.containers(pipeline)
    return (
        *_bare_conditions(pipeline),
        *_quoted_conditions(pipeline),
        *_whole_numbers(pipeline),
        *_oversized(documents),
        *(
            sentence
            for name, container in steps.items()
            for sentence in _step(documents, name, container, environment)
        ),
        *_cached_side_effects(documents),
    )


def require(documents: compiled.Documents, *, environment: str, what: str) -> None:
    """Raise PlatformError with the first findings, where there are any."""
    found = findings(documents, environment=environment)
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise errors.PlatformError(f"{what} would fail silently: {'; '.join(found[:3])}{more}")


# -- one step --------------------------------------------------------------------------------------


def _step(
    documents: compiled.Documents, executor: str, container: artifacts.Json, environment: str
) -> Iterator[str]:
    step = executor.removeprefix("exec-")
    resources, on_kubernetes = (
        container.get("resources", {}),
        compiled.kubernetes_of(documents, executor),
    )
    code = _code(container)
    for key, word in LIMITS.items():
        if key not in resources:
            yield f"step {step} has no {word} limit: set one, or it can take the node from others"
    if "activeDeadlineSeconds" not in on_kubernetes:
        yield f"step {step} has no timeout: set one with kubernetes.set_timeout, or a hung step runs for ever"
    if INSTALLS.search(code):
        yield f"step {step} installs packages at run time: bake them into the image and set install_kfp_package=False"
    if "SlicedClassificationMetrics" in code:
        yield (
            f"step {step} uses SlicedClassificationMetrics, whose every method raises in kfp 2.17: "
            "use ClassificationMetrics"
        )
    yield from _image(step, str(container.get("image", "")), environment)
    if "accelerator" in resources:
        yield from _gpu(step, resources["accelerator"], on_kubernetes)


def _image(step: str, image: str, environment: str) -> Iterator[str]:
    name = image.rsplit("/", 1)[-1]
    if "@sha256:" in image:
        return
    if environment == "production":
        yield (
            f"step {step} runs {image}: production wants an image pinned by digest "
            "(set pipeline.image to NAME@sha256:...)"
        )
    elif not re.search(r":.*[0-9]", name):  # a tag without a number, such as latest or master
        yield f"step {step} runs {image}: wanted a tag that does not move, since the cache does not see an image change"


def _gpu(step: str, accelerator: artifacts.Json, on_kubernetes: artifacts.Json) -> Iterator[str]:
    if accelerator.get("resourceCount", accelerator.get("count", "0")) in ("0", ""):
        yield f"step {step} names a GPU and asks for none: set_accelerator_limit(1), or its pod gets no device"
    if not on_kubernetes.get("tolerations"):
        yield (
            f"step {step} asks for a GPU without a toleration: GPU nodes are usually tainted and it would stay "
            f"Pending; kubernetes.add_toleration(task, key={GPU!r}, operator='Exists')"
        )
    mounted = {mount.get("mountPath") for mount in on_kubernetes.get("emptyDirMounts", [])}
    if "/dev/shm" not in mounted:  # noqa: S108
        yield (
            f"step {step} asks for a GPU without shared memory at /dev/shm: torch's workers die in the default 64 MiB; "
            "kubernetes.empty_dir_mount(task, volume_name='shm', mount_path='/dev/shm', medium='Memory')"
        )


def _code(container: artifacts.Json) -> str:
    return "\n".join([*container.get("command", []), *container.get("args", [])])


# -- the graph -------------------------------------------------------------------------------------


def _dags(pipeline: artifacts.Json) -> Iterator[tuple[str, artifacts.Json]]:
    """Return each graph with its component's name; the root's is empty."""
    yield "", pipeline["root"]["dag"]
    for name, component in pipeline.get("components", {}).items():
        if "dag" in component:
            yield name, component["dag"]


def _bare_conditions(pipeline: artifacts.Json) -> Iterator[str]:
    """A condition outside a condition-branches group has no Else. On a *named* output it never runs
    locally, and says SUCCESS."""
    for owner, dag in _dags(pipeline):
        if owner.startswith("comp-condition-branches"):
            continue
        for task in dag["tasks"].values():
            for channel in CHANNEL.findall(task.get("triggerPolicy", {}).get("condition", "")):
                origin = _origin(
                    pipeline, owner, task.get("inputs", {}).get("parameters", {}).get(channel, {})
                )
                if origin and origin[1] != "Output":
                    yield (
                        f"condition {task['taskInfo']['name']} asks for the named output {origin[1]} of step "
                        f"{origin[0]} and has no dsl.Else: "
                        "its branch is skipped without a word; return one value and add dsl.Else"
                    )


def _quoted_conditions(pipeline: artifacts.Json) -> Iterator[str]:
    """A condition is text that is evaluated: a quote within the value ends it early, and what
    follows a backslash is another character."""
    for _, dag in _dags(pipeline):
        for task in dag["tasks"].values():
            condition = task.get("triggerPolicy", {}).get("condition", "")
            for value in filter(None, map(QUOTED.search, TERMS.split(condition))):
                word = next((word for mark, word in TURNED.items() if mark in value[1]), None)
                if word is not None:
                    yield (
                        f"condition {task['taskInfo']['name']} compares with {value[1]!r}, which has a {word} in it: "
                        "it is false without a word; compare in a step that returns True or False"
                    )


def _whole_numbers(pipeline: artifacts.Json) -> Iterator[str]:
    """What changes on its way into a step."""
    for where, value in _constants(pipeline):
        if isinstance(value, list | dict) and (number := _whole(value)) is not None:
            yield (
                f"{where.said} has the whole number {number:g} in a list or map, where it becomes {number:.1f}: pass "
                "it as text (JSON), or each number as a parameter"
            )


def _oversized(documents: compiled.Documents) -> Iterator[str]:
    """What bursts on its way into a step, or into the cluster."""
    sizes: dict[str, dict[str, int]] = {}
    for where, value in _constants(documents[0]):
        sizes.setdefault(where.step, {})[where.said] = _bytes(value)
    for each in sizes.values():
        if (size := sum(each.values())) > LARGEST_INPUTS:
            largest = max(each, key=lambda said: each[said])
            more = " with the others of its step" if len(each) > 1 else ""
            yield (
                f"{largest} has {size} bytes{more}: wanted at most {LARGEST_INPUTS}, what an argument of a process "
                "can hold; pass an artifact"
            )
    # each part is JSON within a text of the Workflow, whose quotes are escaped
    size = sum(_bytes(json.dumps(document)) for document in documents)
    if size > LARGEST_OBJECT:
        yield (
            f"the pipeline makes a Workflow of at least {size} bytes: wanted at most {LARGEST_OBJECT}, what a cluster "
            "keeps as one object; pass artifacts, or make two pipelines of it"
        )


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


class _Place(NamedTuple):
    said: str
    step: str  # whose inputs go together


def _constants(pipeline: artifacts.Json) -> Iterator[tuple[_Place, Any]]:
    """Return each value that is written in the pipeline, and where."""
    given = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, one in given.items():
        if "defaultValue" in one:
            yield _Place(f"parameter {name}", ""), one["defaultValue"]
    for owner, dag in _dags(pipeline):
        for label, task in dag["tasks"].items():
            name, step = task["taskInfo"]["name"], f"{owner}/{label}"
            for key, one in task.get("inputs", {}).get("parameters", {}).items():
                if "constant" in one.get("runtimeValue", {}):
                    said = f"parameter {key} of step {name}"
                    yield _Place(said, step), one["runtimeValue"]["constant"]
            raw = task.get("parameterIterator", {}).get("items", {}).get("raw")
            if raw is not None:
                yield _Place(f"loop {name}", step), json.loads(raw)


def _whole(value: Any) -> float | None:
    """Return the first whole number within."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if float(value).is_integer() else None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for one in inner if (found := _whole(one)) is not None), None)


def _origin(pipeline: artifacts.Json, owner: str, given: artifacts.Json) -> tuple[str, str] | None:
    """Return the step and output that a parameter comes from, through the groups around it; None
    for the pipeline's own."""
    if made := given.get("taskOutputParameter"):
        return made["producerTask"], made["outputParameterKey"]
    key = given.get("componentInputParameter")
    if key is None or not owner:
        return None
    for parent, dag in _dags(pipeline):
        for task in dag["tasks"].values():
            if task["componentRef"]["name"] == owner:
                return _origin(
                    pipeline, parent, task.get("inputs", {}).get("parameters", {}).get(key, {})
                )
    return None


def _cached_side_effects(documents: compiled.Documents) -> Iterator[str]:
    executors = outside(documents)
    for task in _tasks(documents[0]):
        component: Any = documents[0]["components"].get(task["componentRef"]["name"], {})
        if component.get("executorLabel") in executors and task.get("cachingOptions", {}).get(
            "enableCache"
        ):
            yield (
                f"step {task['taskInfo']['name']} reads or changes what is outside of the run and its cache is on: "
                "a second run would not do it; set_caching_options(False)"
            )


def outside(documents: compiled.Documents) -> frozenset[str]:
    """Return the executors of the steps that read or change what is outside of the run, by their
    label or their imports: their inputs do not say all, and a cached answer would not act."""
    return frozenset(
        name
        for name, container in compiled.containers(documents[0]).items()
        if _is_outside(documents, name, container)
    )


def _is_outside(documents: compiled.Documents, executor: str, container: artifacts.Json) -> bool:
    labels = compiled.kubernetes_of(documents, executor).get("podMetadata", {}).get("labels", {})
    return SIDE_EFFECT in labels or any(words in _code(container) for words in OUTSIDE_IMPORTS)


def _tasks(pipeline: artifacts.Json) -> Iterable[artifacts.Json]:
    for _, dag in _dags(pipeline):
        yield from dag["tasks"].values()
