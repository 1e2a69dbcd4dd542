"""What a cluster could never run, said before it is asked to."""

import pytest

from fairway.config import sections
from fairway.pipelines import capacity, compiled

SMALL = {"cpu": "3920m", "memory": "7Gi"}
LARGE = {"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": "1"}


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


def test_a_pipeline_that_deploys_needs_the_right_to() -> None:
    assert {right.verb for right in capacity.lacking(documents())} == {"get", "create", "patch"}
    pipeline, kubernetes = documents()
    del pipeline["deploymentSpec"]["executors"]["exec-deploy"]
    assert capacity.lacking((pipeline, kubernetes)) == ()
