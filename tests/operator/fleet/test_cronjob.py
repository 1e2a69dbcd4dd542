"""The CronJob of docs/kubernetes.md: what Kubernetes takes, restricted, and a Job that fairway makes
of it."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import yaml
from kubernetes.client import models

from fairway import cli
from fairway.config import resource
from fairway.operator.fleet import jobs

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
(SAMPLE,) = re.findall(r"<!-- retraining -->\n```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CRON: dict[str, Any] = yaml.safe_load(SAMPLE)
POD = CRON["spec"]["jobTemplate"]["spec"]["template"]["spec"]
OWNER = {
    "metadata": {"name": "income", "namespace": "models"},
    "spec": {"model": {"digest": "sha256:" + "0" * 64}},
}
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


def unknown(value: Any, written: str, *, where: str) -> list[str]:
    """Return the fields that the client's model of this type does not have, and those it lacks."""
    if found := re.fullmatch(r"list\[(\w+)\]", written):
        return [text for one in value for text in unknown(one, found[1], where=where)]
    model = getattr(models, written, None)
    if model is None:
        return []
    fields = {name: attribute for attribute, name in model.attribute_map.items()}
    model(**{fields[name]: one for name, one in value.items() if name in fields})  # raises for None
    return [
        text
        for name, one in value.items()
        for text in (
            unknown(one, model.openapi_types[fields[name]], where=f"{where}.{name}")
            if name in fields
            else [f"{where}.{name}"]
        )
    ]


def test_kubernetes_knows_every_field_of_it() -> None:
    assert unknown(CRON, "V1CronJob", where="cronjob") == []
    assert unknown({"metadata": {"nam": "a"}}, "V1Job", where="job") == ["job.metadata.nam"]


def test_it_is_what_a_restricted_namespace_takes() -> None:
    whole = POD["securityContext"]
    assert (whole["runAsNonRoot"], whole["seccompProfile"]["type"]) == (True, "RuntimeDefault")
    assert whole["runAsUser"] > 0
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    assert {key for volume in POD["volumes"] for key in volume} - {"name"} <= RESTRICTED_VOLUMES
    for container in POD["containers"]:
        said = container["securityContext"]
        assert said["allowPrivilegeEscalation"] is False
        assert said["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "procMount", "runAsUser"} & said.keys()


def test_a_modeldeployment_may_name_it_and_a_job_is_made_of_it() -> None:
    asked = resource.JobRetraining.model_validate({"cronJob": CRON["metadata"]["name"]})
    assert asked.cron_job == "train"
    source = {**CRON, "metadata": {**CRON["metadata"], "uid": "uid-train"}}
    job = jobs.job(OWNER, source, number=3, revision="0123456789ab", reason="accuracy fell")
    assert unknown(job, "V1Job", where="job") == []
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    assert told["FAIRWAY_DIGEST"] == OWNER["spec"]["model"]["digest"]
    assert told["HOME"] == "/tmp"


def test_its_commands_are_fairways() -> None:
    (script,) = POD["containers"][0]["args"]
    lines = re.findall(r"^fairway .*", script.replace("\\\n", ""), re.MULTILINE)
    verbs = []
    for line in lines:
        plain = line.replace("${FAIRWAY_DIGEST:+", "").replace('}"}', '}"').partition("||")[0]
        verb, *arguments = shlex.split(plain)[1:]
        command = cli.cli.get_command(click.Context(cli.cli), verb)
        assert command is not None
        command.make_context(verb, arguments)
        verbs.append(verb)
    assert verbs == ["prepare", "train", "evaluate", "package"]
