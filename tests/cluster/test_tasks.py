"""Every task besides classification on the cluster, all at once: their labels reach the collector,
and each defective successor is taken back by the loss of its own task."""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fairway import artifacts
from fairway.packaging import package
from tests.cluster import world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROWS = 5  # of a request: what a ranking orders
STRATEGY = {
    "warmup": "1s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50}], "budget": "30m"},
    "bake": {"weight": 0, "duration": "0s"},
    "guards": [{"name": "loss", "type": "quality", "gates": "canary", "maxLossIncrease": 0.02}],
}
FOUND = re.compile(
    r"loss: mean loss 0\.[3-9]\d* over \d+ units with labels of the candidate, 0 over \d+ of stable \(margin 0\.02\)"
)
FEATURES = [{"name": name, "kind": "number", "range": [-1, 1]} for name in ("x", "y")]
CORNERS = {"north east": "east", "south east": "east", "north west": "west", "south west": "west"}


@dataclass(frozen=True)
class Known:
    """A model of two numbers whose answers are the truth, and a successor that is defective."""

    schema: Mapping[str, Any]
    output: str
    weights: Sequence[Sequence[float]]  # by number, then by output
    defective: Sequence[float]  # by number: what its weights are multiplied by
    truth: Callable[[float, float], Any]
    offsets: Sequence[float] = ()
    last: str = "Identity"


TASKS = {
    "regression": Known(
        {"range": [0, 100], "coverage": 0.8},
        "value",
        [[40, 40, 40], [0, 0, 0]],
        (-1, 1),
        lambda x, y: 50 + 40 * x,
        offsets=[50, 40, 60],
    ),
    "multilabel": Known(
        {"classes": ["east", "north"]},
        "probabilities",
        [[100, 0], [0, 100]],
        (1, -1),
        lambda x, y: [name for name, there in (("east", x > 0), ("north", y > 0)) if there],
        last="Sigmoid",
    ),
    "hierarchical": Known(
        {"classes": list(CORNERS), "parents": CORNERS},
        "probabilities",
        [[100, 100, -100, -100], [100, -100, 100, -100]],
        (1, -1),  # the branch stays right
        lambda x, y: f"{'north' if y > 0 else 'south'} {'east' if x > 0 else 'west'}",
        last="Softmax",
    ),
    "ranking": Known(
        {"range": [0, 4]}, "score", [[1], [0]], (-1, 1), lambda x, y: float(round(2 * x + 2))
    ),
}


def rows(turn: int) -> list[tuple[float, float]]:
    """Return the numbers of a request: none is 0, where a truth would turn, and float32 holds each."""
    places = [(turn + ROWS * row) % 25 for row in range(ROWS)]
    return [((2 * place - 25) / 32, (2 * (7 * place % 25) - 25) / 32) for place in places]


def body(turn: int) -> dict[str, Any]:
    columns = zip(("x", "y"), zip(*rows(turn), strict=True), strict=True)
    return {
        "inputs": [
            {"name": name, "datatype": "FP64", "shape": [ROWS], "data": list(data)}
            for name, data in columns
        ]
    }


def packaged(folder: Path, task: str, *, defective: bool = False) -> artifacts.Package:
    known = TASKS[task]
    weights = np.array(known.weights, dtype=np.float32)
    if defective:
        weights *= np.array(known.defective, dtype=np.float32)[:, None]
    width = weights.shape[1]
    offsets = np.array(known.offsets or [0] * width, dtype=np.float32)
    nodes = [
        helper.make_node("Gemm", ["numbers", "w", "b"], ["found"]),
        helper.make_node(known.last, ["found"], [known.output]),
    ]
    given, answered = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("numbers", 2), (known.output, width))
    )
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(offsets, "b")]
    graph = helper.make_graph(nodes, task, [given], [answered], constants)
    folder.mkdir()
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    (folder / "schema.json").write_text(
        json.dumps({"task": task, "features": FEATURES, **known.schema})
    )
    return package.import_onnx(
        folder / "model.onnx",
        schema=folder / "schema.json",
        name=task,
        out=folder / "store",
        licence="MIT",
    )


@contextlib.contextmanager
def labelled(cluster: Cluster, flowing: Mapping[str, world.Traffic]) -> Iterator[None]:
    """Send the truth of each answered request: a user's name ends in the turn that says which."""
    labeller, closing, done = (
        world.labeller(cluster, "teacher"),
        threading.Event(),
        dict.fromkeys(flowing, 0),
    )

    def labels(task: str) -> list[dict[str, Any]]:
        served = flowing[task].answered[done[task] :]
        done[task] += len(served)
        return [
            {
                "requestId": request,
                "deployment": task,
                "namespace": world.NAMESPACE,
                "label": [TASKS[task].truth(*row) for row in rows(int(unit.rpartition("-")[2]))],
            }
            for request, _, unit in served
            if request
        ]

    def teach() -> None:
        while not closing.wait(1):
            labeller.send("/v1/labels", [label for task in flowing for label in labels(task)])

    teacher = threading.Thread(target=teach)
    teacher.start()
    try:
        yield
    finally:
        closing.set()
        teacher.join()


def test_the_defect_of_each_task_is_found_by_its_own_loss(fairway: Cluster, tmp_path: Path) -> None:
    store = world.store(fairway)
    good = {task: store.put(packaged(tmp_path / task, task)) for task in TASKS}
    bad = {
        task: store.put(packaged(tmp_path / f"{task}-bad", task, defective=True)) for task in TASKS
    }
    try:
        for task in TASKS:
            world.apply(fairway, world.resource(task, good[task], strategy=STRATEGY))
        stable = {
            task: world.until(fairway, task, world.digest_in_service(good[task]))["stable"]
            for task in TASKS
        }
        named = [f"md/{task}" for task in TASKS]
        fairway.kubectl(
            "--namespace",
            world.NAMESPACE,
            "wait",
            *named,
            "--for=condition=Ready",
            "--timeout=120s",
        )
        with contextlib.ExitStack() as open_:
            flowing = {
                task: open_.enter_context(
                    world.traffic(fairway, task, model=task, body=body, pause=0.5)
                )
                for task in TASKS
            }
            open_.enter_context(labelled(fairway, flowing))
            for task in TASKS:
                world.apply(fairway, world.resource(task, bad[task], strategy=STRATEGY))
            ended = {task: world.until(fairway, task, world.rolled_back) for task in TASKS}
        assert {task: status["stable"] for task, status in ended.items()} == stable
        reasons = [status["reason"] for status in ended.values()]
        assert [reason for reason in reasons if not FOUND.match(reason)] == []
        assert {task: traffic.failed for task, traffic in flowing.items()} == dict.fromkeys(
            TASKS, 0
        )
    finally:
        for task in TASKS:
            fairway.kubectl(
                "--namespace",
                world.NAMESPACE,
                "delete",
                "md",
                task,
                "--ignore-not-found",
                "--wait=false",
            )
