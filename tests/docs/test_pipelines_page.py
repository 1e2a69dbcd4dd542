"""The pipeline of docs/pipelines.md, run as it stands there."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairway.cli import cli
from fairway.config import loader
from fairway.pipelines import compiled, pitfalls

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"


def block(language: str, words: str) -> str:
    """Return the only block of the page with these words."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    [one] = [text for text in found if words in text]
    return one


def test_the_pages_own_pipeline_compiles_and_lacks_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(block("python", "def mine("))
    runpy.run_path("mine.py")
    found = pitfalls.findings(compiled.read(tmp_path / "mine.yaml"), environment="kind")
    kinds = {re.sub(r"^step \S+ ", "", sentence).split(":")[0] for sentence in found}
    assert kinds == {"has no CPU limit", "has no memory limit", "has no timeout"}


@pytest.mark.parametrize("words", ["tune:", "FAIRWAY_EVENTS", "outcomes:"])
def test_the_pages_configurations_are_ones(words, tmp_path):
    file = tmp_path / "fairway.yaml"
    file.write_text("data: {path: rows.csv}\n" + block("yaml", words))
    loader.load(file)


def test_the_pages_own_image_has_the_code_that_the_command_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "fairway.yaml").write_text("data: {path: rows.csv}\n")
    for name in ("features.py", "pins.txt"):
        (tmp_path / name).write_text("")
    command = shlex.split(block("shell", "image build").replace("\\\n", ""))
    printed = CliRunner().invoke(cli, [*command[1:], "--print"], catch_exceptions=False)
    copied = re.findall(r'COPY \["(.*?)"', printed.output)
    assert copied == ["pins.txt", "features.py", "mine"]
