"""What may be taken from an earlier try or run, and what may not."""

import json
import re
from pathlib import Path

import pytest
from kfp import dsl

import components
from fairway import artifacts
from fairway.config import sections
from fairway.data import prepare
from fairway.pipelines import compiled, execute, reuse
from tests.cli.running import FEW

CONFIG = {"data": {"source": "csv"}, "training": {"epochs": 2}, "evaluation": {}, "serving": {}}


def artifact(path: Path, **metadata: str) -> dsl.Dataset:
    return dsl.Dataset(name="dataset", uri=str(path), metadata=metadata)


def dataset(folder: Path, *, rows: str = "1,2", version: str = "a") -> Path:
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_text(rows)
    artifacts.write_json(folder / "dataset.json", {"path": str(folder), "version": version})
    return folder


def kept(home: Path, *, pure: frozenset[str] = frozenset({"train"}), run: str = "one"):
    root = home / run / "steps"
    for step in ("train", "deploy"):
        (root / "pipeline" / step).mkdir(parents=True, exist_ok=True)
    shelves = reuse.Results(home / run / "kept"), reuse.Results(home / "cache")
    return execute.ContentCache(own=shelves[0], shared=shelves[1], pure=pure, root=root)


def key(cache: execute.ContentCache, rows: Path, *, step: str = "train", **config: object) -> str:
    arguments = {"config": json.dumps({**CONFIG, **config}), "dataset": artifact(rows)}
    return cache.compute_key(f"comp-{step}", "image", ["python3", "code"], arguments)


def test_a_key_is_of_the_content_wherever_it_lies(tmp_path):
    cache = kept(tmp_path)
    here, there = dataset(tmp_path / "a"), dataset(tmp_path / "b")
    assert key(cache, here) == key(cache, there)
    assert key(cache, here) != key(cache, dataset(tmp_path / "c", rows="1,3"))
    assert key(cache, here) != key(cache, dataset(tmp_path / "d", version="b"))


def test_how_a_run_ended_is_told_at_the_end_of_each_try(tmp_path):
    cache = kept(tmp_path)
    for step in ("notify", "deploy"):
        cache.put(f"{step}-0a1b", {"Output": "told"})
    assert cache.get("notify-0a1b") is None
    assert cache.get("deploy-0a1b") == {"Output": "told"}


def test_a_renamed_file_with_equal_rows_has_the_same_key(tmp_path):
    cache, keys = kept(tmp_path), set()
    for name, text in (("a", FEW), ("b", FEW), ("c", FEW.replace("20,", "99,"))):
        file = tmp_path / f"{name}.csv"
        file.write_text(text)
        section = sections.Data.of(source="csv", path=str(file), target="income")
        made = prepare.prepare(section, out=tmp_path / name)
        rows = artifact(tmp_path / name, version=made.version, source=made.source)
        arguments = {"config": json.dumps(CONFIG), "dataset": rows}
        keys.add(cache.compute_key("comp-train", "image", ["code"], arguments))
        assert len(keys) == (2 if name == "c" else 1)


def test_rows_that_changed_under_an_unchanged_path_are_another_content(tmp_path):
    rows = dataset(tmp_path / "rows")
    before = key(kept(tmp_path), rows)
    (rows / "train.parquet").write_text("1,3")
    assert key(kept(tmp_path), rows) != before


def test_a_step_is_done_again_only_for_the_sections_that_it_reads(tmp_path):
    cache, rows = kept(tmp_path), dataset(tmp_path / "rows")
    assert key(cache, rows, serving={"workers": 2}) == key(cache, rows)
    assert key(cache, rows, training={"epochs": 3}) != key(cache, rows)
    assert key(cache, rows, step="package", serving={"workers": 2}) != key(
        cache, rows, step="package"
    )


@pytest.mark.parametrize("step", execute.READS)
def test_a_cached_component_reads_the_sections_that_its_key_has_and_no_other(step):
    [file] = Path(components.__file__).parent.glob(f"*/{step}/component.py")
    source = file.read_text()
    read = re.findall(
        r"(?:settings(?:\(config\))?|model_validate_json\(config\)|asked)\.(\w+)", source
    )
    where = {"pipeline"} if step == "train" else set()  # its state lies says nothing of the model
    assert (set(read) - where, source.count("config)")) == (set(execute.READS[step]), 1)


def test_only_steps_without_side_effects_may_come_from_another_run(tmp_path):
    documents = compiled.read(compiled.find("training.yaml"))
    assert compiled.cached_steps(documents) & {"deploy", "package", "watch-rollout"} == set()
    assert set(execute.READS) <= compiled.cached_steps(documents)
    first, rows = kept(tmp_path), dataset(tmp_path / "rows")
    for step in ("train", "deploy"):
        first.put(key(first, rows, step=step), {"Output": step})
    second = kept(tmp_path, run="two")
    found = {step: second.get(key(second, rows, step=step)) for step in ("train", "deploy")}
    assert found == {"train": {"Output": "train"}, "deploy": None}
    own = kept(tmp_path)  # the same run, tried again
    assert own.get(key(own, rows, step="deploy")) == {"Output": "deploy"}


def test_what_was_changed_or_lost_since_is_not_taken(tmp_path):
    cache, rows = kept(tmp_path), dataset(tmp_path / "rows")
    model = dataset(tmp_path / "model")
    name = key(cache, rows)
    metrics = dsl.Metrics(name="metrics", uri=str(tmp_path / "none"), metadata={"accuracy": 0.9})
    cache.put(name, {"model": artifact(model, family="tabular"), "metrics": metrics})
    found = kept(tmp_path).get(name)
    assert (found["model"].uri, found["metrics"].metadata) == (str(model), {"accuracy": 0.9})
    (model / "train.parquet").write_text("else")
    assert kept(tmp_path).get(name) is None
    (model / "train.parquet").unlink()
    assert kept(tmp_path).get(name) is None


@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        ({"data": {"source": "csv"}, "training": {"family": "tabular"}}, False),
        ({"data": {"source": "function", "function": "mine:rows"}}, True),
        ({"training": {"family": "function", "function": "mine:fit"}}, True),
    ],
)
def test_a_configuration_with_code_of_the_users_own_is_known(config, theirs):
    assert reuse.names_own_code(config) is theirs
