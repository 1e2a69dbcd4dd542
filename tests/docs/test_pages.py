"""The generated pages: up to date, complete, and made from what the code says."""

import ast
import json
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import click
import pytest
import yaml
from prometheus_client import parser

from docs import generate
from docs.pages import commands, configuration, customresource, markdown, metrics
from fairway.config import patterns, sections
from fairway.control import calls
from fairway.operator import crd, rules
from fairway.rollout import consent, hooks, states

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", generate.PAGES)
def test_the_committed_page_is_what_the_code_says(name):
    assert (ROOT / name).read_text(encoding="utf-8") == generate.PAGES[name](), (
        "run `make docs` and commit the result"
    )


def test_a_stale_page_is_named_with_the_command_that_mends_it(tmp_path):
    for folder in ("src", "docs"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    command = [sys.executable, tmp_path / "docs" / "generate.py"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert subprocess.run([*command, "--check"], capture_output=True, timeout=120).returncode == 0
    (tmp_path / "docs" / "metrics.md").write_text("old", encoding="utf-8")
    result = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr == "docs/metrics.md out of date: run `make docs` and commit the result\n"


# -- configuration ---------------------------------------------------------------------------------


def test_every_key_and_its_reason_are_on_the_page():
    page = configuration.page()
    for _, model, _ in configuration.tree(sections.Config):
        for field in model.model_fields.values():
            assert f"| `{field.alias}` |" in page
            assert " ".join((field.description or "").split()).replace("|", "\\|") in page


def test_a_steps_own_default_is_shown_where_it_differs_from_its_sections():
    rows = {path: default for path, _, default in configuration.tree(sections.Config)}
    assert configuration.default_of(sections.Resources, "memory", rows["pipeline.train"]) == "`8Gi`"
    assert (
        configuration.default_of(sections.Resources, "memory", rows["pipeline.prepare"]) == "`2Gi`"
    )


@pytest.mark.parametrize(
    ("model", "field", "shown"),
    [
        (sections.Strategy, "warmup", "`30s`"),
        (sections.Data, "limit", "none"),
        (sections.Step, "weight", "required"),
        (sections.Data, "split", ""),
        (sections.Canary, "steps", "`{weight: 5}`, `{weight: 25}`, `{weight: 50}`"),
        (sections.Gate, "beat_zero_rule", "`true`"),
        (sections.FAMILIES.sections["tabular"], "hidden", "`[64]`"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
)
def test_defaults_are_written_as_in_the_file(model, field, shown):
    assert configuration.default_of(model, field, None) == shown


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 64}, "integer ≥ 1, ≤ 64"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, "number > 0, < 0.5"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "path, or none"),
        ({"enum": ["a", "b"], "type": "string"}, "`a` or `b`"),
        ({"const": "alibi", "type": "string"}, "`alibi`"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string", "pattern": sections.DURATION.pattern}, "duration"),
        ({"type": "string", "pattern": patterns.NAME}, "name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_types_are_said_in_words(described, words):
    assert markdown.type_of(described) == words


def test_a_bar_in_a_cell_does_not_end_the_cell():
    assert markdown.table(("a",), [("x | y\nz",)]).splitlines()[-1] == "| x \\| y z |"


# -- custom resource -------------------------------------------------------------------------------


def test_every_field_and_every_refusal_of_the_resource_is_on_the_page():
    page = customresource.page()
    for path, node in crd.nodes(crd.root()):
        for name in node.get("properties", {}) if path else ():
            assert f"\n{'#' * min(2 + path.count('.'), 4)} {path}\n" in page
            assert f"| `{name}` |" in page
    for several in rules.RULES.values():
        assert all(f"| {message} |" in page for _, message in several)
    assert "| `falseRollback` | number > 0, ≤ 0.5 | `0.01` |" in page


# -- command line ----------------------------------------------------------------------------------


def test_commands_are_listed_with_those_under_them_and_hidden_ones_are_not():
    root = click.Group(
        "fairway",
        commands=[
            click.Group(
                "rollout", commands=[click.Command("pause"), click.Command("secret", hidden=True)]
            ),
            click.Command("up"),
        ],
    )
    paths = [
        context.command_path
        for _, context in commands.commands(root, click.Context(root, info_name="fairway"))
    ]
    assert paths == ["fairway rollout", "fairway rollout pause", "fairway up"]


def test_a_command_whose_module_is_absent_is_named():
    class Lazy(click.Group):
        def list_commands(self, ctx):
            return ["gone"]

        def get_command(self, ctx, cmd_name):
            raise ModuleNotFoundError("No module named 'gone'")

    with pytest.raises(
        SystemExit, match="fairway gone cannot be described: No module named 'gone'"
    ):
        list(
            commands.commands(Lazy("fairway"), click.Context(Lazy("fairway"), info_name="fairway"))
        )


# -- metrics ---------------------------------------------------------------------------------------


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """Return the metrics of a module's text, with a neighbour that it may take labels from."""
    monkeypatch.setattr(metrics, "SRC", tmp_path)
    (tmp_path / "fairway" / "noun").mkdir(parents=True)
    (tmp_path / "fairway" / "noun" / "base.py").write_text('LABELS = ("deployment", "revision")\n')

    def declared(text: str) -> list:
        path = tmp_path / "fairway" / "noun" / "module.py"
        path.write_text(text)
        return metrics.declared(path)

    return declared


@pytest.mark.parametrize(
    "text",
    [
        'import prometheus_client\nX = prometheus_client.Counter("n", "Help.", ("deployment", "revision"))',
        'import prometheus_client as prom\nX = prom.Counter("n_total", "Help.", labelnames=["deployment", "revision"])',
        'from prometheus_client import Counter as C\nX = C("n", documentation="Help.", labelnames=("deployment", '
        '"revision"))',
        'import prometheus_client\nL = ("deployment",)\nX = prometheus_client.Counter("n", "Help.", (*L, "revision"))',
        'import prometheus_client\nL = ("deployment", "revision", "role")\nX = prometheus_client.Counter("n", "He" '
        '"lp.", L[:2])',
        'import prometheus_client\nL = ("deployment",)\nX = prometheus_client.Counter("n", "Help.", L + ("revision",))',
        'import prometheus_client\nfrom fairway.noun.base import LABELS\nX = prometheus_client.Counter("n", "Help.", '
        "LABELS)",
        'import prometheus_client\nfrom fairway.noun import base\nX = prometheus_client.Counter("n", "Help.", '
        "base.LABELS)",
        'from prometheus_client.core import CounterMetricFamily\nX = CounterMetricFamily("n", "Help.", '
        'labels=["deployment", "revision"])',
    ],
    ids=["plain", "alias", "renamed", "star", "slice", "sum", "taken", "attribute", "family"],
)
def test_a_metric_is_found_however_it_is_written(declared, text):
    assert declared(text) == [
        metrics.Series(
            "n_total", "counter", ("deployment", "revision"), "Help.", "fairway.noun.module"
        )
    ]


def test_a_counter_of_collections_is_no_metric(declared):
    assert (
        declared("import prometheus_client\nfrom collections import Counter\nX = Counter('abc')")
        == []
    )


def test_a_metric_whose_name_is_computed_is_refused_with_its_line(declared):
    with pytest.raises(SystemExit, match=r"module\.py:2: .* must be written out"):
        declared('import prometheus_client\nX = prometheus_client.Gauge(f"n_{1}", "Help.")')


def test_every_series_is_named_after_its_noun_and_says_what_it_counts():
    for file in (ROOT / "src" / "fairway").rglob("*.py"):
        for series in metrics.declared(file):
            spoken_for = (
                "rollout"
                if series.module == "fairway.operator.rolloutseries"
                else series.module.split(".")[1]
            )  # what it looks after, not itself
            assert series.name.startswith(f"fairway_{spoken_for}_"), series
            assert series.help.endswith("."), series


def test_the_page_lists_what_a_process_really_exports():
    program = (
        "import fairway.serving.app, fairway.serving.eventlog, prometheus_client; "
        "print(prometheus_client.generate_latest().decode())"
    )
    exported = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    page = metrics.page()
    for family in parser.text_string_to_metric_families(exported):
        if family.name.startswith("fairway_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert f"| `{name}` | {family.type} |" in page
            assert family.documentation in page


def test_the_page_of_metrics_reads_the_code_and_does_not_run_it():
    source = ast.parse((ROOT / "docs" / "pages" / "metrics.py").read_text(encoding="utf-8"))
    imported = [
        getattr(node, "module", None) or alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert "ast" in imported
    assert not [name for name in imported if name.startswith("fairway")]


# -- hooks -----------------------------------------------------------------------------------------


def test_the_hooks_page_shows_what_is_read_and_what_is_sent():
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    example, sent = (
        page.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("yaml", "json")
    )
    known = sections.Strategy.model_validate(yaml.safe_load(example)["strategy"]).hooks
    assert {at for hook in known for at in hook.at} == set(typing.get_args(sections.HookPoint))
    shown = json.loads(sent)
    data = {
        name: value
        for name, value in shown["data"].items()
        if name not in ("hook", "at", "namespace", "deployment")
    }
    call = hooks.Call(id=shown["id"], hook="freeze", at="preStep", data=data, due=0.0)
    assert calls.event(calls.DeploymentName("models", "income"), call, now=1767225600.0) == shown
    state = states.State(phase=states.Phase.CANARY, stable="0d4e6f7a1b2c", candidate="8c1f2a90b3de")
    assert consent.announcement(state, strategy=sections.Strategy()).keys() == data.keys()
