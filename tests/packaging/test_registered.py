"""Models of a real MLflow server: one that is data is packaged, one that is a pickle is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fairway import artifacts, errors
from fairway.addresses import mlflow
from fairway.packaging import registered
from tests import environments, tracking_servers
from tests.cli.running import assert_one_sentence
from tests.serving import support

LOGS = Path(__file__).with_name("logging_models.py")
WIDE = 512  # of the graph: weights of more than a kilobyte lie beside it


def wide(path: Path) -> Path:
    """Write numbers [n, 2] -> two MatMuls -> Softmax."""
    rng = np.random.default_rng(0)
    weights = {
        name: numpy_helper.from_array(rng.normal(size=shape).astype(np.float32) / 30, name)
        for name, shape in (("w1", (2, WIDE)), ("w2", (WIDE, 2)))
    }
    nodes = [
        helper.make_node("MatMul", ["numbers", "w1"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    given, answered = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        for name in ("numbers", "probabilities")
    )
    graph = helper.make_graph(nodes, "wide", [given], [answered], [*weights.values()])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an MLflow server whose registry has a graph and a pickle."""
    folder = tmp_path_factory.mktemp("mlflow")
    with tracking_servers.served(folder) as address:
        subprocess.run(
            [
                environments.built(tracking_servers.LOCK) / "python",
                *(LOGS, address, wide(folder / "graph.onnx")),
            ],
            check=True,
            capture_output=True,
            timeout=400,
        )
        yield address


def asked(folder: Path, registry: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "schema.json").write_text(json.dumps(support.SCHEMA))
    return subprocess.run(
        [sys.executable, "-m", "fairway", *arguments],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": registry},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # of the first, whose environment is built
@pytest.mark.parametrize("address", ["models:/income/1", "models:/income@champion"])
def test_a_graph_of_the_registry_is_packaged_with_all_its_weights(
    address: str, registry: str, tmp_path: Path
) -> None:
    done = asked(tmp_path, registry, "package", address, "--schema", "schema.json", "-o", "json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["name"] == "income"
    manifest = artifacts.read_json(Path(made["path"]) / "manifest.json")
    assert manifest["lineage"]["source"] == f"imported ONNX graph of {address}"
    kept = onnx.load(Path(made["path"]) / "model.onnx")
    first = {one.name: numpy_helper.to_array(one) for one in kept.graph.initializer}
    given = onnx.load(wide(tmp_path / "graph.onnx")).graph.initializer
    assert any(np.array_equal(numpy_helper.to_array(given[1]), one) for one in first.values())


MISTAKES = {
    "a pickle": ("models:/pickled/1", 1, "has the flavors python_function: wanted onnx"),
    "no such version": ("models:/income/7", 1, "models:/income/7 is not in the registry"),
    "no such alias": ("models:/income@newest", 1, "models:/income@newest is not in the registry"),
    "no version": ("models:/income", 2, "wanted models:/NAME/VERSION or models:/NAME@ALIAS"),
}


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # of the first, whose environment is built
@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_packaged_is_refused_in_a_sentence(
    case: str, registry: str, tmp_path: Path
) -> None:
    address, status, words = MISTAKES[case]
    done = asked(tmp_path, registry, "package", address, "--schema", "schema.json")
    assert_one_sentence(done, status=status, words=words)
    assert not list((tmp_path / ".fairway" / "packages").iterdir())


@pytest.mark.lengthy
@pytest.mark.timeout(900)  # of the first, whose environment is built
def test_a_model_that_is_no_package_is_packaged_before_it_is_deployed(
    registry: str, tmp_path: Path
) -> None:
    (tmp_path / "fairway.yaml").write_text(
        "name: income\ndata: {source: csv, path: few.csv, target: income}\n"
    )
    done = asked(tmp_path, registry, "deploy", "models:/income/1")
    words = "`fairway package models:/income/1 --schema FILE`"
    assert_one_sentence(done, status=2, words=words)


def test_without_a_server_the_variable_that_names_one_is_asked_for() -> None:
    with pytest.raises(errors.UsageError, match="wanted MLFLOW_TRACKING_URI"):
        mlflow.place("models:/income/1", environment={})


def test_a_graph_that_names_a_file_elsewhere_is_refused() -> None:
    with pytest.raises(errors.PackageError, match="wanted one within the model's folder"):
        registered._plain("../../etc/passwd", uri="models:/income/1")
