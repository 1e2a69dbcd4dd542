"""What a cluster could never run, said before it is asked to."""

import dataclasses

import pytest

from fairway.config import sections
from fairway.pipelines import capacity, compiled

SMALL = capacity.NodeOffer(room={"cpu": "3920m", "memory": "7Gi"})
LARGE = capacity.NodeOffer(room={"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": "1"})


def documents(**pipeline: object) -> compiled.Documents:
    return compiled.for_training(
        sections.Config(
            data=sections.Data.of(source="digits", target="digit"),
            pipeline=sections.Pipeline.model_validate(pipeline),
        )
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", 0.25), ("2", 2.0), ("1.5Gi", 1.5 * 2**30), ("4G", 4e9), ("128Ki", 131072.0)],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, number: float) -> None:
    assert capacity.quantity(text) == number


@pytest.mark.parametrize("text", ["", "two", "1 Gi", "-1", "1e3Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity of Kubernetes"):
        capacity.quantity(text)


def test_a_step_that_no_node_could_hold_is_named_with_what_it_asks_for() -> None:
    (sentence,) = capacity.unfit(documents(), [SMALL])
    assert sentence.startswith("step train asks for 2 cpu, 8Gi memory, and none of 1 nodes has")
    assert list(capacity.unfit(documents(), [SMALL, LARGE])) == []
    (gpu,) = capacity.unfit(
        documents(train={"cpu": "2", "memory": "8Gi", "gpu": 2}), [SMALL, LARGE]
    )
    assert "step train asks for 2 cpu, 8Gi memory, 2 nvidia.com/gpu" in gpu


def test_a_step_whose_labels_no_node_with_room_has_is_named() -> None:
    asked = documents(train={"cpu": "2", "memory": "8Gi", "selector": {"pool": "training"}})
    small = dataclasses.replace(SMALL, labels={"pool": "training"})
    (sentence,) = capacity.unfit(asked, [small, LARGE])
    assert sentence.startswith("step train wants a node with the labels pool=training, and none of")
    assert "selector" in sentence
    labelled = dataclasses.replace(LARGE, labels={"pool": "training", "zone": "a"})
    assert list(capacity.unfit(asked, [SMALL, labelled])) == []


@pytest.mark.parametrize(
    ("tolerations", "sound"),
    [
        ([], False),
        ([{"key": "team"}], True),
        ([{"key": "team", "operator": "Equal", "value": "vision"}], True),
        ([{"key": "team", "operator": "Equal", "value": "speech"}], False),
        ([{"key": "team", "effect": "NoExecute"}], False),
    ],
)
def test_a_step_that_tolerates_the_taint_of_no_node_is_named(
    tolerations: list[dict[str, str]], sound: bool
) -> None:
    taint = {"key": "team", "value": "vision", "effect": "NoSchedule"}
    asked = documents(train={"cpu": "2", "memory": "8Gi", "tolerations": tolerations})
    tainted = dataclasses.replace(LARGE, taints=[taint])
    found = list(capacity.unfit(asked, [SMALL, tainted]))
    assert [sentence[:26] for sentence in found] == (
        [] if sound else ["step train tolerates the t"]
    )
    assert all("team=vision:NoSchedule" in sentence for sentence in found)


def test_a_taint_that_passes_by_itself_keeps_no_step_off() -> None:
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    assert list(capacity.unfit(documents(), [dataclasses.replace(LARGE, taints=[taint])])) == []


def test_a_pipeline_that_deploys_needs_the_right_to() -> None:
    assert {right.verb for right in capacity.lacking(documents())} == {"get", "create", "patch"}
    pipeline, kubernetes = documents()
    del pipeline["deploymentSpec"]["executors"]["exec-deploy"]
    assert {right.verb for right in capacity.lacking((pipeline, kubernetes))} == {"get"}
    del pipeline["deploymentSpec"]["executors"]["exec-champion"]
    assert capacity.lacking((pipeline, kubernetes)) == ()
