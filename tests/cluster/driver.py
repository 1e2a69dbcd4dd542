"""Runs a compiled pipeline on the test cluster: each step a pod, in the order and by the branches that
the compiled documents say. It stands where Kubeflow Pipelines' own driver and launcher stand, which
cannot be had here: it resolves inputs, and keeps artifacts in one folder instead of copying them to a
bucket and back.

A pod's environment is this machine's, mounted: the image of the steps has 6 GB (torch).
"""

import json
import re
import sys
import sysconfig
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fairway.pipelines import compiled
from tests.cluster import images, places
from tests.cluster.cluster import Cluster

ROOT_URI, MOUNT = "s3://artifacts", "/s3/artifacts"  # as kfp's executor maps the one to the other
CONDITION = re.compile(r"(!\()?inputs\.parameter_values\['([^']+)'\] == (true|false|'[^']*')\)?")
AT_EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"
USER = 65532
PYTHON = "/opt/python"  # where a pod has this machine's interpreter: that of root's home is nobody else's
Json = dict[str, Any]

# -- what a pod has that runs this machine's environment -------------------------------------------
_PACKAGES, _SOURCE = sysconfig.get_path("purelib"), str(places.ROOT / "src")
_MOUNTED = {
    "python": (str(Path(sys.base_prefix).resolve()), PYTHON),
    "environment": (_PACKAGES, _PACKAGES),
    "source": (_SOURCE, _SOURCE),
    "pipelines": (str(places.ROOT / "pipelines"), str(places.ROOT / "pipelines")),
}
MOUNTS = [
    {"name": key, "mountPath": where, "readOnly": True} for key, (_, where) in _MOUNTED.items()
]
VOLUMES = [
    {"name": key, "hostPath": {"path": here, "type": "Directory"}}
    for key, (here, _) in _MOUNTED.items()
]
VARIABLES = [
    {"name": key, "value": value}
    for key, value in {
        "PATH": f"{PYTHON}/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{PYTHON}/lib",
        "HOME": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{_SOURCE}:{_PACKAGES}",
    }.items()
]
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE_POD = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One step as it ended."""

    name: str
    succeeded: bool
    log: str
    outputs: Json


class StepFailed(Exception):
    """A step ended red: the run ends there."""


@dataclass
class Driver:
    """One run of a pipeline."""

    cluster: Cluster
    documents: compiled.Documents
    folder: Path  # of this machine, where artifacts lie; pods have it mounted
    namespace: str
    account: str
    seconds: int = 300  # that one step may take
    ran: list[Ran] = field(default_factory=list)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def run(self, arguments: Json) -> bool:
        """Run to the end; say whether every step that ran succeeded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o777)  # pods are nobody's
        root = self.documents[0]["root"]
        defaults = {
            name: one.get("defaultValue")
            for name, one in root.get("inputDefinitions", {}).get("parameters", {}).items()
        }
        try:
            self._dag(root["dag"], {**defaults, **arguments}, {})
        except StepFailed:
            return False
        return True

    def names(self) -> list[str]:
        return [one.name for one in self.ran]

    def output(self, step: str) -> Json:
        """Return the output parameters of the step, and its artifacts' metadata by their names."""
        return next(one.outputs for one in self.ran if one.name == step)

    def _dag(self, dag: Json, parameters: Json, artifacts: Json) -> None:
        """Run the tasks, and at the end, however it came, those that an exit handler has for it."""
        tasks = dag["tasks"]
        exits = {
            name: task
            for name, task in tasks.items()
            if task.get("triggerPolicy", {}).get("strategy") == AT_EXIT
        }
        status = {"state": "FAILED", "error": {"code": 1, "message": "a step failed"}}
        try:
            rest = {name: task for name, task in tasks.items() if name not in exits}
            self._tasks(rest, parameters, artifacts)
            status = {"state": "SUCCEEDED", "error": {}}
        finally:
            for name, task in exits.items():
                given = _inputs(task, parameters, artifacts, {}, status=status)
                component = self.documents[0]["components"][task["componentRef"]["name"]]
                self._step(name, component, given)

    def _tasks(self, left: Json, parameters: Json, artifacts: Json) -> None:
        done: dict[str, Json] = {}
        while left:
            name = next(
                name
                for name, task in left.items()
                if not set(task.get("dependentTasks", ())) & left.keys()
            )
            task = left.pop(name)
            given = _inputs(task, parameters, artifacts, done)
            if not _holds(task.get("triggerPolicy", {}).get("condition"), given["parameters"]):
                continue
            component = self.documents[0]["components"][task["componentRef"]["name"]]
            if "dag" in component:
                self._dag(component["dag"], given["parameters"], given["artifacts"])
            else:
                done[name] = self._step(name, component, given)

    def _step(self, name: str, component: Json, given: Json) -> Json:
        place = f"{self.id}/{name}"
        (self.folder / place).mkdir(parents=True)
        (self.folder / place).chmod(0o777)
        outputs = component.get("outputDefinitions", {})
        asked = {
            "inputs": {
                "parameterValues": given["parameters"],
                "artifacts": {key: {"artifacts": [one]} for key, one in given["artifacts"].items()},
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": f"{MOUNT}/{place}/parameters/{key}"}
                    for key in outputs.get("parameters", {})
                },
                "artifacts": {
                    key: {
                        "artifacts": [
                            {
                                "name": key,
                                "uri": f"{ROOT_URI}/{place}/{key}",
                                "type": one["artifactType"],
                                "metadata": {},
                            }
                        ]
                    }
                    for key, one in outputs.get("artifacts", {}).items()
                },
                "outputFile": f"{MOUNT}/{place}/executor_output.json",
            },
        }
        pod = self._pod(name, component["executorLabel"], json.dumps(asked))
        succeeded, log = self._await(pod)
        written = self.folder / place / "executor_output.json"
        said = json.loads(written.read_text()) if written.exists() else {}
        made = {
            "parameters": said.get("parameterValues", {}),
            "artifacts": {
                key: held["artifacts"][0] for key, held in said.get("artifacts", {}).items()
            },
        }
        self.ran.append(Ran(name=name, succeeded=succeeded, log=log, outputs=made))
        if not succeeded:
            raise StepFailed(name)
        return made

    def _pod(self, name: str, executor: str, asked: str) -> str:
        container = compiled.containers(self.documents[0])[executor]
        told = compiled.kubernetes_of(self.documents, executor)
        claims = {f"claim-{i}": one for i, one in enumerate(told.get("pvcMount", ()))}
        secrets = [
            {
                "name": key["envVar"],
                "valueFrom": {"secretKeyRef": {"name": one["secretName"], "key": key["secretKey"]}},
            }
            for one in told.get("secretAsEnv", ())
            for key in one["keyToEnv"]
        ]
        resources = container["resources"]
        pod = f"{name}-{self.id}"
        spec = {
            "restartPolicy": "Never",
            "serviceAccountName": self.account,
            "activeDeadlineSeconds": min(self.seconds, int(told["activeDeadlineSeconds"])),
            "securityContext": SAFE_POD,
            "containers": [
                {
                    "name": "main",
                    "image": f"fairway/operator:{images.tag()}",
                    "command": container["command"],
                    "args": [
                        asked if word == "{{$}}" else word for word in container.get("args", ())
                    ],
                    "env": [
                        *VARIABLES,
                        *container.get("env", ()),
                        *secrets,
                    ],
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "100Mi"},
                        "limits": {"memory": resources["resourceMemoryLimit"]},
                    },
                    "securityContext": SAFE,
                    "volumeMounts": [
                        *MOUNTS,
                        {"name": "artifacts", "mountPath": MOUNT},
                        *(
                            {"name": key, "mountPath": one["mountPath"]}
                            for key, one in claims.items()
                        ),
                    ],
                }
            ],
            "volumes": [
                *VOLUMES,
                {"name": "artifacts", "hostPath": {"path": str(self.folder), "type": "Directory"}},
                *(
                    {"name": key, "persistentVolumeClaim": {"claimName": one["constant"]}}
                    for key, one in claims.items()
                ),
            ],
        }
        labels = told.get("podMetadata", {}).get("labels", {})
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod, "namespace": self.namespace, "labels": labels},
            "spec": spec,
        }
        self.cluster.kubectl("create", "--filename=-", input=yaml.safe_dump(document))
        return pod

    def _await(self, pod: str) -> tuple[bool, str]:
        where = ("--namespace", self.namespace)
        done = self.cluster.kubectl(
            *where,
            "wait",
            f"pod/{pod}",
            "--for=jsonpath={.status.containerStatuses[0].state.terminated}",
            f"--timeout={self.seconds}s",
            check=False,
        )
        log = self.cluster.kubectl(*where, "logs", pod, check=False).stdout
        code = self.cluster.kubectl(
            *where,
            "get",
            "pod",
            pod,
            "--output=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}",
        ).stdout
        if done.returncode:
            log += done.stderr
        self.cluster.kubectl(*where, "delete", "pod", pod, "--grace-period=0", check=False)
        return code == "0", log


def _inputs(
    task: Json,
    parameters: Json,
    artifacts: Json,
    done: dict[str, Json],
    *,
    status: Json | None = None,
) -> Json:
    """Return what a task is given: values of its pipeline, constants, what others made, and of an exit
    task how they ended."""
    found: Json = {"parameters": {}, "artifacts": {}}
    for key, one in task.get("inputs", {}).get("parameters", {}).items():
        if "runtimeValue" in one:
            found["parameters"][key] = one["runtimeValue"]["constant"]
        elif "taskFinalStatus" in one:
            producer = one["taskFinalStatus"]["producerTask"]
            found["parameters"][key] = {**(status or {}), "pipelineTaskName": producer}
        elif "taskOutputParameter" in one:
            made = one["taskOutputParameter"]
            found["parameters"][key] = done[made["producerTask"]]["parameters"][
                made["outputParameterKey"]
            ]
        else:
            found["parameters"][key] = parameters[one["componentInputParameter"]]
    for key, one in task.get("inputs", {}).get("artifacts", {}).items():
        if "taskOutputArtifact" in one:
            made = one["taskOutputArtifact"]
            found["artifacts"][key] = done[made["producerTask"]]["artifacts"][
                made["outputArtifactKey"]
            ]
        else:
            found["artifacts"][key] = artifacts[one["componentInputArtifact"]]
    return found


def _holds(condition: str | None, parameters: Json) -> bool:
    if condition is None:
        return True
    match = CONDITION.fullmatch(condition)
    assert match, f"the driver cannot read {condition}"
    wanted = {"true": True, "false": False}.get(match[3], match[3].strip("'"))
    return (parameters[match[2]] == wanted) is (match[1] is None)
