"""The components as functions and as what they promise to Kubeflow Pipelines."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from kfp import components, dsl

from components import catalogue
from components.data.import_data import import_data
from components.data.label_data import label_data
from components.data.prepare import prepare
from components.data.validate_data import validate_data
from components.evaluation.champion import champion
from components.evaluation.evaluate import evaluate
from components.evaluation.gate import gate
from components.evaluation.refuse import refuse
from components.monitoring.detect_drift import detect_drift
from components.operations.notify import notify
from components.operations.tell import tell
from components.packaging.package import package
from components.retraining.decide_retraining import decide_retraining
from components.rollout.deploy import deploy
from components.rollout.watch_rollout import watch_rollout
from components.serving.batch_predict import batch_predict
from components.training.train import train
from components.training.train_distributed import train_distributed
from components.training.tune import tune
from fairway import artifacts, errors
from fairway.config import loader
from fairway.pipelines import compiled, pitfalls

COMPONENTS = {
    "champion": champion,
    "import_data": import_data,
    "prepare": prepare,
    "train": train,
    "train_distributed": train_distributed,
    "evaluate": evaluate,
    "gate": gate,
    "refuse": refuse,
    "package": package,
    "deploy": deploy,
    "watch_rollout": watch_rollout,
    "batch_predict": batch_predict,
    "validate_data": validate_data,
    "label_data": label_data,
    "detect_drift": detect_drift,
    "decide_retraining": decide_retraining,
    "tune": tune,
    "notify": notify,
    "tell": tell,
}
EACH = pytest.mark.parametrize("component", COMPONENTS.values(), ids=COMPONENTS)


def source(component) -> ast.FunctionDef:
    tree = ast.parse(inspect.getsource(component.python_func))
    return next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@EACH
def test_a_component_has_at_most_ten_statements(component):
    statements = [node for node in ast.walk(source(component)) if isinstance(node, ast.stmt)]
    assert len(statements) - 2 <= 10  # all but the function itself and its docstring


@EACH
def test_a_component_says_what_it_gives(component):
    assert ast.get_docstring(source(component))


@EACH
def test_a_component_installs_nothing_when_it_runs(component):
    container = component.pipeline_spec.deployment_spec["executors"][f"exec-{component.name}"][
        "container"
    ]
    assert "pip install" not in " ".join(container["command"])


def output(kind, folder: Path, name: str):
    return kind(name=name, uri=str(folder / name), metadata={})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The steps as functions, one after the other, on digits."""
    folder = tmp_path_factory.mktemp("steps")
    settings = loader.load(
        None,
        overrides=[
            "name=digits",
            "data.source=digits",
            "data.target=digit",
            "training.family=convolutional",
            "training.epochs=1",
            "training.channels=[4]",
            "evaluation.gate.maxCalibrationError=1",
            "evaluation.gate.beatZeroRule=false",
        ],
    )
    config = json.dumps(settings.model_dump(mode="json", by_alias=True))
    made = {
        "config": config,
        "dataset": output(dsl.Dataset, folder, "dataset"),
        "model": output(dsl.Model, folder, "model"),
        "evaluation": output(dsl.Artifact, folder, "evaluation"),
        "metrics": output(dsl.Metrics, folder, "metrics"),
        "classes": output(dsl.ClassificationMetrics, folder, "classes"),
        "report": output(dsl.HTML, folder, "report"),
        "decision": output(dsl.Artifact, folder, "decision"),
        "package": output(dsl.Model, folder, "package"),
    }
    rows, serving = output(dsl.Dataset, folder, "rows"), output(dsl.Model, folder, "serving")
    import_data.python_func(config=config, rows=rows)
    champion.python_func(config=config, folder="", home=str(folder), package=serving)
    made["configuration"] = output(dsl.Artifact, folder, "configuration")
    names = ("dataset", "configuration")
    prepare.python_func(config=config, rows=rows, **{name: made[name] for name in names})
    train.python_func(config=config, dataset=made["dataset"], model=made["model"])
    names = ("dataset", "model", "evaluation", "metrics", "classes", "report")
    evaluate.python_func(config=config, champion=serving, **{name: made[name] for name in names})
    made["promote"] = gate.python_func(
        config=config, evaluation=made["evaluation"], decision=made["decision"]
    )
    names = ("dataset", "model", "evaluation", "decision", "package")
    made["folder"] = package.python_func(
        config=config, store="", **{name: made[name] for name in names}
    )
    return made


def test_the_whole_configuration_is_an_artifact_of_the_run(made):
    kept = json.loads(Path(made["configuration"].path).read_text())
    assert kept == json.loads(made["config"])


def test_evaluation_is_drawn_by_the_pipelines_page(made):
    rows = (
        made["classes"].metadata["confusionMatrix"]["struct"]["rows"]
        if "struct" in made["classes"].metadata["confusionMatrix"]
        else (made["classes"].metadata["confusionMatrix"]["rows"])
    )
    assert (
        sum(sum(row["row"]) for row in rows)
        == artifacts.read_json(Path(made["evaluation"].path) / "evaluation.json")["rows"]
    )
    assert 0 <= made["metrics"].metadata["accuracy"] <= 1
    assert "<html" in Path(made["report"].path).read_text().lower()


def test_the_gate_leaves_its_reason_beside_its_answer(made):
    decision = artifacts.read_json(Path(made["decision"].path))
    assert decision["promote"] is made["promote"] is True
    assert made["decision"].metadata["reason"] == decision["reason"] != ""


def test_the_gate_of_an_unreachable_floor_says_no_and_the_refusal_says_why(made, tmp_path, capsys):
    strict = json.loads(made["config"])
    strict["evaluation"]["gate"]["threshold"] = 0.9999
    decision = output(dsl.Artifact, tmp_path, "decision")
    assert (
        gate.python_func(
            config=json.dumps(strict), evaluation=made["evaluation"], decision=decision
        )
        is False
    )
    reason = refuse.python_func(decision=decision, fail=False)
    assert "0.9999" in reason
    assert reason in capsys.readouterr().out
    with pytest.raises(errors.Refused, match=re.escape(f"the gate refused: {reason}")):
        refuse.python_func(decision=decision, fail=True)


def test_without_a_store_the_package_travels_in_its_artifact(made):
    folder = Path(made["folder"])
    assert folder.parent == Path(made["package"].path)
    assert made["package"].metadata["digest"] == f"sha256:{folder.name}"


def test_deploying_finds_the_package_where_the_artifact_was_brought_and_twice_is_once(
    made, tmp_path
):
    elsewhere = made["package"].metadata | {
        "folder": f"{tmp_path}/gone/{Path(made['folder']).name}"
    }  # the folder of another machine
    brought = dsl.Model(name="package", uri=made["package"].uri, metadata=elsewhere)
    asked = [
        deploy.python_func(config=made["config"], package=brought, home=str(tmp_path / "home"))
        for _ in range(2)
    ]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 12


def test_the_files_beside_each_component_are_current(tmp_path):
    catalogue.write(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    there = [
        path.relative_to(catalogue.HERE)
        for kind in ("README.md", "component.yaml", "metadata.yaml")
        for path in catalogue.HERE.rglob(kind)
    ]
    assert made == sorted(there)
    assert [
        name
        for name in made
        if (tmp_path / name).read_bytes() != (catalogue.HERE / name).read_bytes()
    ] == []


def test_every_component_is_in_the_catalogue_and_loads_from_its_file():
    names = {place.split("/")[1] for place, _ in catalogue.components()}
    assert names == set(COMPONENTS)
    for place, component in catalogue.components():
        loaded = components.load_component_from_file(str(catalogue.HERE / place / "component.yaml"))
        assert loaded.name == component.name
        assert loaded.component_spec.inputs.keys() == (component.component_spec.inputs or {}).keys()


@EACH
def test_a_bare_component_that_reads_or_changes_what_is_outside_is_found_and_its_page_says_so(
    component,
):
    [place] = [place for place, one in catalogue.components() if one is component]
    folder = catalogue.HERE / place
    found = pitfalls.findings(compiled.read(folder / "component.yaml"), environment="kind")
    pure = {"tune", "train", "evaluate", "gate", "refuse"}
    assert any("and its cache is on" in sentence for sentence in found) is (folder.name not in pure)
    page = (folder / "README.md").read_text()
    assert ("step.set_caching_options(False)" in page) is (folder.name not in pure)
