"""The definition on a real API server: what is filled in, and the sentence that refuses each
contradiction."""

import json
import uuid
from pathlib import Path

import pytest

from fairway.config import resource
from tests.cluster import stack
from tests.operator import examples

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def namespace(cluster):
    """Return a namespace, on a cluster that knows the resource."""
    cluster.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--filename",
        str(ROOT / "manifests" / "crds" / "modeldeployments.yaml"),
    )
    stack.established(cluster, "crd/modeldeployments.fairway.dev")
    name = f"test-crd-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def apply(cluster, namespace):
    """Return a function that applies the valid resource with a change to it."""

    def apply(change, *options):
        text = json.dumps(examples.changed(change))
        return cluster.kubectl(
            "--namespace",
            namespace,
            "apply",
            "--output=json",
            "--filename=-",
            *options,
            input=text,
            check=False,
        )

    return apply


@pytest.mark.parametrize("change", examples.ACCEPTED.values(), ids=examples.ACCEPTED)
def test_what_makes_sense_is_accepted(apply, change):
    result = apply(change, "--dry-run=server")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("case", examples.REFUSED.values(), ids=examples.REFUSED)
def test_what_does_not_is_refused_with_a_sentence(apply, case):
    result = apply(case.change, "--dry-run=server")
    assert result.returncode != 0
    assert case.says in result.stderr


def test_defaults_are_filled_in(apply):
    spec = json.loads(apply({}, "--dry-run=server").stdout)["spec"]
    assert spec["runtime"] == "bentoml"
    assert spec["gateway"]["timeout"] == "10s"
    assert spec["scaling"] == {"minReplicas": 2, "maxReplicas": 6, "cpuUtilization": 70}
    assert spec["podTemplate"] == examples.VALID["spec"]["podTemplate"]
    assert spec["strategy"]["canary"] == {
        "budget": "6h",
        "harm": 0.1,
        "steps": [
            {"weight": weight, "minDuration": "0s", "pause": False} for weight in (5, 25, 50)
        ],
    }
    assert [guard["name"] for guard in spec["strategy"]["guards"]] == [
        "disagreement",
        "errors",
        "slow",
        "rejections",
        "quality",
    ]


def test_the_models_read_what_the_api_server_filled_in(apply):
    filled = json.loads(apply({}, "--dry-run=server").stdout)["spec"]
    assert resource.Spec.model_validate(filled) == resource.Spec.model_validate(
        examples.VALID["spec"]
    )


@pytest.fixture(scope="module")
def applied(apply):
    """The valid resource, really there (and paused)."""
    assert apply({}).returncode == 0


@pytest.mark.parametrize("case", examples.IMMUTABLE.values(), ids=examples.IMMUTABLE)
def test_what_cannot_be_changed_says_what_to_do(apply, applied, case):
    result = apply(case.change, "--dry-run=server")
    assert result.returncode != 0
    assert case.says in result.stderr


def test_guards_that_are_applied_replace_those_that_came_by_default(apply, applied):
    options = ("--server-side", "--force-conflicts", "--dry-run=server")
    guards = json.loads(apply(examples.guard("errors", maxRate=0.1), *options).stdout)["spec"][
        "strategy"
    ]["guards"]
    assert [guard["name"] for guard in guards] == ["one"]


def test_get_tells_the_story(cluster, namespace, applied):
    status = {
        "phase": "RolledBack",
        "weight": 0,
        "verdict": "ROLLBACK",
        "reason": "errors: 9 of 20 requests failed",
        "stable": {"revision": "0123456789ab"},
        "monitoring": {"revision": "0123456789ab", "drift": "Usual"},
    }
    cluster.kubectl(
        "--namespace",
        namespace,
        "patch",
        "md",
        "income",
        "--subresource=status",
        "--type=merge",
        "--patch",
        json.dumps({"status": status}),
    )
    header, row = cluster.kubectl("--namespace", namespace, "get", "md").stdout.splitlines()
    assert header.split() == [
        "NAME",
        "REVISION",
        "CANDIDATE",
        "PHASE",
        "WEIGHT",
        "VERDICT",
        "READY",
        "DRIFT",
        "AGE",
        "REASON",
    ]
    assert row.split()[:5] == ["income", "0123456789ab", "RolledBack", "0", "ROLLBACK"]
    assert "  Usual  " in row
    assert row.endswith("errors: 9 of 20 requests failed")


def test_every_field_of_a_full_status_is_kept(cluster, namespace, applied):
    moment, revision = (
        "2026-01-02T03:04:05Z",
        {
            "revision": "0123456789ab",
            "digest": "sha256:0",
            "image": "fairway/server:1",
            "readyReplicas": 2,
        },
    )
    status = {
        "observedGeneration": 1,
        "phase": "Canary",
        "weight": 25,
        "mirror": 0,
        "verdict": "HOLD",
        "reason": "r" * 1024,
        "stable": revision,
        "candidate": revision,
        "previous": revision,
        "rejected": ["0123456789ab"] * 20,
        "checkpoint": "c" * 262144,
        "lastCommand": "n",
        "reply": {"obeyed": True, "sentence": "s" * 1024},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "lastTransitionTime": moment,
                "reason": "Serving",
                "message": "all of it",
                "observedGeneration": 1,
            }
        ],
        "history": [
            {
                "at": moment,
                "revision": "0123456789ab",
                "phase": "Canary",
                "action": "HOLD",
                "reason": "r",
                "guard": "errors",
            }
        ]
        * 20,
        "monitoring": {
            "revision": "0123456789ab",
            "drift": "Shifted",
            "learnt": "20/20",
            "lastWindowTime": moment,
            "ticket": {"openedAt": moment, "kind": "covariate", "summary": "s" * 1024},
            "retraining": {
                "reason": "r" * 1024,
                "run": "income-retraining-1",
                "startedAt": moment,
                "outcome": "Running",
            },
        },
        "guards": [
            {"name": f"guard-{number}", "harm": -0.5, "certificate": 1.25} for number in range(16)
        ],
    }
    patch = (
        "patch",
        "md",
        "income",
        "--subresource=status",
        "--type=merge",
        "--output=json",
        "--patch-file=/dev/stdin",
    )
    kept = json.loads(
        cluster.kubectl(
            "--namespace", namespace, *patch, input=json.dumps({"status": status})
        ).stdout
    )["status"]
    assert kept == kept | status
