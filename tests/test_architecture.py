"""What the shape of the repository promises: a light command line, layers, documented modules,
nothing of one machine."""

import ast
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fairway.cli import licences

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
HEAVY = (
    "alibi_detect",
    "bentoml",
    "catboost",
    "hydra",
    "kfp",
    "kubernetes",
    "lightgbm",
    "matplotlib",
    "numpy",
    "omegaconf",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "pydantic",
    "scipy",
    "sklearn",
    "torch",
    "torchvision",
    "transformers",
    "xgboost",
)
OFFLINE = (
    "alibi_detect",
    "catboost",
    "hydra",
    "kfp",
    "lightgbm",
    "matplotlib",
    "pandas",
    "pyarrow",
    "sklearn",
    "torch",
    "torchvision",
    "xgboost",
)
PLAIN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(SRC)}
# Written so that this file does not name them itself.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|crates\.io|proxy\.golang\.org"
    r"|maven\.(?:org|apache\.org)|deb\.debian\.org"
)
MACHINE = re.compile(r"(?<![\w.$}])/(?:work|tmp|root|home)/\w")


def files(pattern: str = "*") -> list[Path]:
    """The files that belong to the repository: what git tracks or would take."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", pattern]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running the code."""
    show = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    result = subprocess.run(
        [sys.executable, "-c", show],
        env=PLAIN,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(result.stdout.splitlines()[-1].split())


def processor_seconds(arguments: list[str]) -> float:
    """What a command takes of a processor, without waiting times: a busy machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], env=PLAIN, capture_output=True, check=True, timeout=60
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_imports_no_heavy_library():
    loaded = modules_after(
        "import contextlib\nfrom fairway import cli\nwith contextlib.suppress(SystemExit):\n    cli.main(['--help'])"
    )
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_takes_less_than_a_fifth_of_a_second():
    assert min(processor_seconds(["-m", "fairway", "--help"]) for _ in range(3)) < 0.2


def test_serving_a_model_loads_no_offline_library():
    loaded = modules_after(
        "import fairway.serving.app, fairway.serving.predictor, fairway.serving.eventlog"
    )
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(OFFLINE)


@pytest.mark.parametrize(
    "modules",
    [
        "fairway.cli.fetch, fairway.packaging.fetch",
        "fairway.cli.serve, fairway.packaging.package, fairway.serving.command",
        "fairway.cli.collector, fairway.monitoring.eventstore.collector.listening, "
        "fairway.monitoring.eventstore.remote",
    ],
)
def test_what_a_pod_runs_loads_nothing_that_its_image_lacks(modules):
    assert modules_after(f"import {modules}").isdisjoint(
        {*OFFLINE, "botocore", "httpx", "kubernetes", "psutil", "psycopg", "torch"}
    )


def test_import_contracts_hold():
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=ROOT,
        env=PLAIN,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


def readable() -> list[tuple[str, str]]:
    named = []
    for path in files():
        try:
            named.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # a binary file
    return named


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a package registry", REGISTRIES), ("a path of one machine", MACHINE)],
    ids=["registry", "path"],
)
def test_no_file_names(what, pattern):
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in readable()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{what} is named in:\n" + "\n".join(found[:20])


# a test's name is its sentence
MODULES = [path for path in files("*.py") if not path.name.startswith("test_")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree), (
        f"{path.name} needs a first line that says what it is for"
    )


def test_no_line_of_code_is_wider_than_120_columns() -> None:
    """Lint lets a line pass whose end is a mark for a linter."""
    wide = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in files("*.py")
        if path != ROOT / "helm" / "readme.py"  # paragraphs of the page that it writes
        for line in path.read_text(encoding="utf-8").splitlines()
        if len(line) > 120
    ]
    assert not wide


def test_the_lock_holds_pins_and_hashes_only():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line]
    for number, line in enumerate(lines):
        if re.match(r"[a-z0-9]", line):
            assert re.match(r"[a-z0-9._-]+==\S+", line), f"line {number + 1} pins nothing: {line}"
            assert lines[number + 1].startswith("    --hash=sha256:"), (
                f"line {number + 1} has no hash: {line}"
            )


def test_the_lock_has_what_the_set_up_itself_needs():
    pinned = set(
        re.findall(
            r"^([a-z0-9._-]+)==",
            (ROOT / "requirements.lock").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
    assert {"uv", "hatchling", "editables", "pytest", "ruff", "mypy", "import-linter"} <= pinned


def test_the_licence_is_the_one_that_the_project_names():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_actions_of_the_workflows_are_pinned_by_commit():
    uses = [
        match
        for path in (ROOT / ".github").rglob("*.y*ml")
        for match in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
    ]
    assert uses
    assert not [one for one in uses if not re.search(r"@[0-9a-f]{40}$", one)]


def test_the_readme_names_the_terms_that_check_names():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in licences.TERMS if name.removesuffix("-cudnn-cu13") not in readme]


@pytest.mark.parametrize("name", ["werkzeug", "gunicorn", "flask", "cryptography", "protobuf"])
def test_what_is_said_of_the_old_packages_beside_seldon_is_what_the_lock_holds(name):
    lock = (ROOT / "requirements-seldon.lock").read_text(encoding="utf-8")
    version = re.search(rf"^{name}==(\S+)", lock, re.MULTILINE)[1]
    for said in (licences.SELDON.sentence, (ROOT / "README.md").read_text(encoding="utf-8")):
        assert f"{name} {version}".lower() in said.lower()
