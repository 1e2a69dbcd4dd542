"""The components by name, as a team's own pipeline uses them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from kfp import compiler, dsl

import components as sources
from components import catalogue
from fairway import components

ROOT = Path(sources.__file__).parents[1]


def test_each_component_has_its_name():
    assert dir(components) == sorted(place.split("/")[1] for place, _ in catalogue.components())
    assert components.train is components.train
    assert "settings" in components.train.component_spec.inputs


def test_another_name_is_answered_with_those_that_are():
    with pytest.raises(
        AttributeError, match="there is no component trane: wanted one of batch_predict"
    ):
        components.trane  # noqa: B018


def test_naming_none_imports_no_kfp():
    code = (
        "import sys\nfrom fairway import components\ndir(components)\nprint('kfp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_pipeline_of_ones_own_compiles_with_them(tmp_path):
    @dsl.pipeline(name="mine")
    def mine(config: str):
        brought = components.import_data(config=config).set_caching_options(False)
        prepared = components.prepare(config=config, rows=brought.outputs["rows"])
        components.train(config=config, dataset=prepared.outputs["dataset"])

    compiler.Compiler().compile(mine, str(tmp_path / "mine.yaml"))
    assert "comp-train" in (tmp_path / "mine.yaml").read_text()


def test_an_installed_fairway_carries_their_files():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert (
        wheel["targets"]["wheel"]["force-include"]["components"] == "fairway/pipelines/components"
    )
