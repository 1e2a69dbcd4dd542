"""The compiled pipelines: found, read, and given the images and resources of a configuration.

Kubeflow Pipelines cannot choose a GPU when a run starts, and an installed fairway has no pipeline
sources to compile. So the compiled documents, which are plain data, are filled in before they are
sent.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from fairway import addresses, artifacts, errors
from fairway.addresses import web
from fairway.config import sections
from fairway.pipelines import notification, run_records

# the pipeline, and what Kubernetes shall do for it
Documents = tuple[artifacts.Json, artifacts.Json]
PLACE_OF_STEPS = ("platforms", "kubernetes", "deploymentSpec", "executors")
# of each pipeline, the parameters that say why and from what code a run began: a run of `monitoring` decides
# itself, and `batch` makes no model
CIRCUMSTANCES = {
    "training": ("why", "commit"),
    "retraining": ("why", "commit"),
    "many": ("why", "commit"),
    "monitoring": ("commit",),
    "batch": (),
}
# of each, the parameters that nothing reads but people: a section's keys that are not its defaults, so that
# Compare runs shows what two runs were asked, which one long `config` hides
_LEARNING = ("data", "training", "evaluation")
SHOWN = {
    "training": _LEARNING,
    "retraining": (*_LEARNING, "retraining"),
    "monitoring": (*_LEARNING, "retraining", "monitoring"),
    "many": (),
    "batch": (),
}
SORTS = ("source", "family")  # by which a section has other keys, and other defaults
MOST_SHOWN = 1000  # characters of one parameter: a list of columns may be long
PIPELINES = ("training", "retraining", "monitoring", "many", "batch")
GPU, SHARED = "nvidia.com/gpu", "/dev/shm"  # noqa: S108 - where torch's workers share tensors
DISTRIBUTED = "exec-train-distributed"
ON_GPUS = (
    "tolerations",
    "emptyDirMounts",
    "nodeSelector",
)  # what a step that waits for others' GPUs needs not
TELLING = ("exec-notify", "exec-tell")  # the steps that are given the webhook's URL
TRAINING = {False: "training.yaml", True: "training-gpu.yaml"}


def find(name: str) -> Path:
    """Return the compiled pipeline: of the installed package, else of the clone."""
    package = Path(__file__).parent / name
    clone = Path(__file__).parents[3] / "pipelines" / name
    for place in (package, clone):
        if place.exists():
            return place
    raise errors.PlatformError(
        f"the compiled pipeline {name} is neither in {package.parent} nor in {clone.parent}: "
        "run `python -m pipelines.compile` in a clone"
    )


def components() -> dict[str, Path]:
    """Return each component's YAML by name: of the installed package, else of the clone."""
    package, clone = Path(__file__).parent / "components", Path(__file__).parents[3] / "components"
    for folder in (package, clone):
        files = {file.parent.name: file for file in folder.glob("*/*/component.yaml")}
        found = dict(sorted(files.items()))
        if found:
            return found
    raise errors.PlatformError(
        f"the components' YAML is neither in {package} nor in {clone}: run `python -m components.catalogue` in a clone"
    )


def circumstances(pipeline: str, *, why: str, commit: str) -> dict[str, str]:
    """Return why and from what code a run begins, as the pipeline's parameters."""
    said = {"why": why, "commit": commit}
    return {name: said[name] for name in CIRCUMSTANCES[pipeline]}


def shown(pipeline: str, config: sections.Config) -> dict[str, str]:
    """Return the pipeline's parameters that say what is asked of it, such as `family=boosting`: for
    people. Addresses are without what may be secret in them."""
    found = {}
    for name in SHOWN[pipeline]:
        section = getattr(config, name)
        sort = {key: value for key in SORTS if (value := getattr(section, key, None)) is not None}
        said = section.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        leaves = run_records.flat({**sort, **said}).items()
        text = ", ".join(f"{key}={_open(value)}" for key, value in leaves)
        found[name] = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
    return found


def _open(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return web.shown(text) if "://" in text else text


def read(path: Path) -> Documents:
    """Return the pipeline and its Kubernetes part (empty where there is none)."""
    documents: list[artifacts.Json] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return documents[0], documents[1] if len(documents) > 1 else {}


def write(documents: Documents) -> str:
    """Return the text that Kubeflow Pipelines reads."""
    return yaml.safe_dump_all([document for document in documents if document], sort_keys=True)


def for_training(config: sections.Config) -> Documents:
    """Return the training pipeline as `for_pipeline` does."""
    return for_pipeline(file("training", config), config)


def file(pipeline: str, config: sections.Config) -> str:
    """Return the name of a pipeline's compiled file."""
    return TRAINING[config.pipeline.train.gpu > 0] if pipeline == "training" else f"{pipeline}.yaml"


def for_pipeline(name: str, config: sections.Config) -> Documents:
    """Return a compiled pipeline with the image, the resources, the variables and the claims that the
    configuration names."""
    documents = read(find(name))
    if config.pipeline.nodes > 1:
        documents = spread(documents)
    searches = config.training.tune is not None
    documents = filled(documents, config.pipeline, searches=searches)
    return with_claims(documents, claims(config))


def spread(documents: Documents) -> Documents:
    """Return a copy whose training is the component that asks for a TrainJob, instead of the one that
    trains by itself: both have the same inputs and outputs."""
    pipeline, kubernetes = copy.deepcopy(documents)
    component, _ = read(components()["train_distributed"])
    executors = pipeline["deploymentSpec"]["executors"]
    if executors.pop("exec-train", None) is None:
        return pipeline, kubernetes
    executors[DISTRIBUTED] = component["deploymentSpec"]["executors"][DISTRIBUTED]
    pipeline["components"]["comp-train"]["executorLabel"] = DISTRIBUTED
    for _, task in _tasks(pipeline):
        if task["componentRef"]["name"] == "comp-train":
            task["cachingOptions"] = {}  # a step that changes a cluster is asked each time
    asked = dict(on_kubernetes(kubernetes, "exec-train"))
    on_kubernetes(kubernetes, DISTRIBUTED).update(
        {key: said for key, said in asked.items() if key not in ON_GPUS}
    )
    del kubernetes["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    return pipeline, kubernetes


def filled(
    documents: Documents, section: sections.Pipeline, *, searches: bool = False
) -> Documents:
    """Return a copy with the section's image and variables everywhere, its resources at each step and
    its bound of each loop; the documents stay as they are. The search has those of the training,
    unless there is nothing that it `searches`."""
    pipeline, kubernetes = copy.deepcopy(documents)
    asked = {
        "exec-prepare": section.prepare,
        "exec-tune": section.train if searches else section.prepare,
        "exec-train": section.train,
        "exec-evaluate": section.evaluate,
        "exec-batch-predict": section.evaluate,
    }
    for name, container in containers(pipeline).items():
        container["image"] = section.image
        resources = asked.get(name, section.prepare)
        _resources(container, resources)
        _placed(container, on_kubernetes(kubernetes, name), asked=resources)
        if section.environment:
            container["env"] = [
                {"name": key, "value": value} for key, value in section.environment.items()
            ]
        secrets = dict(section.secrets)
        if name.startswith(TELLING) and section.notify.url is not None:
            secrets[notification.URL] = section.notify.url
        if secrets:
            on_kubernetes(kubernetes, name)["secretAsEnv"] = [
                _secret(variable, place) for variable, place in secrets.items()
            ]
    for _, task in _tasks(pipeline):
        if "iteratorPolicy" in task:
            task["iteratorPolicy"]["parallelismLimit"] = section.parallel
    return pipeline, kubernetes


def claims(config: sections.Config) -> tuple[str, ...]:
    """Return the claims that the steps need mounted: of the data, the packages' store and the workspace."""
    places = (config.platform.store, config.pipeline.workspace)
    named = (*config.data.addresses().values(), *(place or "" for place in places))
    return tuple(dict.fromkeys(urlsplit(uri).netloc for uri in named if uri.startswith("pvc://")))


def with_claims(documents: Documents, names: tuple[str, ...]) -> Documents:
    """Return a copy whose every step has the claims mounted where addresses look for them."""
    pipeline, kubernetes = copy.deepcopy(documents)
    for step in containers(pipeline) if names else ():
        on_kubernetes(kubernetes, step)["pvcMount"] = [
            {
                "constant": name,
                "mountPath": str(addresses.CLAIMS / name),
                "pvcNameParameter": {"runtimeValue": {"constant": name}},
            }
            for name in names
        ]
    return pipeline, kubernetes


def _placed(
    container: artifacts.Json, kubernetes: artifacts.Json, *, asked: sections.Resources
) -> None:
    """Say on which nodes the step may run; one that asks for GPUs tolerates their taint and has shared
    memory. What the compiled step has stays."""
    tolerations = [one.as_kubernetes() for one in asked.tolerations]
    if asked.gpu:
        count = str(asked.gpu)
        container["resources"]["accelerator"] = {
            "type": asked.accelerator,
            "resourceType": asked.accelerator,
            "count": count,
            "resourceCount": count,
        }
        taint = {"effect": "NoSchedule", "key": GPU, "operator": "Exists"}
        tolerations += kubernetes.get("tolerations", [taint])
        shared = {"medium": "Memory", "mountPath": SHARED, "volumeName": "shm"}
        kubernetes.setdefault("emptyDirMounts", [shared])
    if tolerations:
        kubernetes["tolerations"] = tolerations
    if asked.selector:
        kubernetes["nodeSelector"] = {"labels": dict(asked.selector)}


def _secret(variable: str, place: sections.SecretKey) -> artifacts.Json:
    return {
        "keyToEnv": [{"envVar": variable, "secretKey": place.key}],
        "optional": False,
        "secretName": place.secret,
        "secretNameParameter": {"runtimeValue": {"constant": place.secret}},
    }


def tried_once(documents: Documents) -> Documents:
    """Return a copy without retries: they are for nodes that vanish; on one machine a step that
    failed only fails again, later."""
    pipeline, kubernetes = copy.deepcopy(documents)
    for _, task in _tasks(pipeline):
        task.pop("retryPolicy", None)
    return pipeline, kubernetes


def kept(documents: Documents) -> Documents:
    """Return a copy in which kfp asks its cache at every step: what may be taken from it is ours
    to say (fairway.pipelines.execute)."""
    pipeline, kubernetes = copy.deepcopy(documents)
    for _, task in _tasks(pipeline):
        task["cachingOptions"] = {"enableCache": True}
    return pipeline, kubernetes


def cached_steps(documents: Documents) -> frozenset[str]:
    """Return the steps that may be cached: those without side effects, whose inputs say all."""
    return frozenset(
        name
        for name, task in _tasks(documents[0])
        if task.get("cachingOptions", {}).get("enableCache")
    )


def _tasks(pipeline: artifacts.Json) -> Iterator[tuple[str, artifacts.Json]]:
    """Give each task with its name, to be changed in place; two branches may have one of a name."""
    for graph in (pipeline["root"], *pipeline["components"].values()):
        yield from graph.get("dag", {}).get("tasks", {}).items()


def containers(pipeline: artifacts.Json) -> dict[str, artifacts.Json]:
    """Return each step's container by its executor's name."""
    return {
        name: executor["container"]
        for name, executor in pipeline["deploymentSpec"]["executors"].items()
        if "container" in executor
    }


def kubernetes_of(documents: Documents, executor: str) -> artifacts.Json:
    """Return what Kubernetes shall do for a step: timeout, tolerations, volumes, labels."""
    part = documents[1]
    for key in (*PLACE_OF_STEPS, executor):
        part = part.get(key, {})
    return part


def on_kubernetes(kubernetes: artifacts.Json, executor: str) -> artifacts.Json:
    """Return the part of the Kubernetes document that is one step's, to be changed in place."""
    part = kubernetes
    for key in (*PLACE_OF_STEPS, executor):
        part = part.setdefault(key, {})
    return part


def _resources(container: artifacts.Json, asked: sections.Resources) -> None:
    """The strings are what the backend reads; the numbers that kfp writes beside them for old
    backends would disagree."""
    accelerator = container.get("resources", {}).get("accelerator")
    container["resources"] = {
        **({"accelerator": accelerator} if accelerator and asked.gpu else {}),
        "resourceCpuRequest": asked.cpu,
        "resourceCpuLimit": asked.cpu,
        "resourceMemoryRequest": asked.memory,
        "resourceMemoryLimit": asked.memory,
    }
