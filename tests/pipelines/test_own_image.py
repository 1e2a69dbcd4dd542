"""The Dockerfile of the steps' image with code of the user's, and what goes into its build."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from fairway import errors, plugins
from fairway.pipelines import image_builds, own_image

BASE = "registry.example/pipeline@sha256:" + "a" * 64
FUNCTIONS = {"data": {"function": "features:rows"}, "training": {"function": "mine.models:fit"}}
NETWORK = {"training": {"family": "tabular", "network": "theirs"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "features.py",
        "mine/__init__.py",
        "mine/models.py",
        "src/features.py",
        "plug/pyproject.toml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "pins.txt").write_text("iniconfig==2.3.1 \\\n    --hash=sha256:67f4\n")
    (tmp_path / "loose.txt").write_text("# what the code needs\niniconfig>=2\n")
    return tmp_path


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("theirs", "plug:NET", "fairway.networks")
    plugin = plugins.Plugin("networks", "theirs", "their-networks", "1.0", entry)
    monkeypatch.setattr(
        plugins, "found", lambda group: {"theirs": plugin} if group == "networks" else {}
    )


def lines(folder: Path, *code: str, requirements: str | None = None, **config: object) -> list[str]:
    file = folder / requirements if requirements else None
    found = own_image.gather(
        folder, config=config, code=[Path(name) for name in code], requirements=file
    )
    return own_image.dockerfile(found, base=BASE).splitlines()


def test_the_modules_of_the_named_functions_are_copied_and_imported_as_nobody(folder: Path) -> None:
    *most, imported = lines(folder, **FUNCTIONS)
    assert most == [
        f"FROM {BASE}",
        "USER root",
        'COPY ["features.py", "/opt/code/features.py"]',
        'COPY ["mine", "/opt/code/mine"]',
        "RUN chmod -R a+rX /opt/code",
        "ENV PYTHONPATH=/opt/code${PYTHONPATH:+:$PYTHONPATH}",
        "USER 65532:65532",
    ]
    python, flag, program = json.loads(imported.removeprefix("RUN "))
    assert (python, flag) == ("python", "-c")
    assert "resolve_name('features:rows'); pkgutil.resolve_name('mine.models:fit')" in program


def test_named_code_takes_the_place_of_what_the_configuration_names(folder: Path) -> None:
    copies = [line for line in lines(folder, "mine/models.py", **FUNCTIONS) if "COPY" in line]
    assert copies == ['COPY ["mine/models.py", "/opt/code/models.py"]']


def test_code_that_no_function_names_is_imported_too(folder: Path) -> None:
    imported = lines(folder, "features.py", "mine", training=FUNCTIONS["training"])[-1]
    program = json.loads(imported.removeprefix("RUN "))[-1]
    assert "resolve_name('mine.models:fit'); pkgutil.resolve_name('features')" in program


@pytest.mark.parametrize(
    ("file", "options"),
    [("pins.txt", "--require-hashes --requirement"), ("loose.txt", "held.txt --requirement")],
    ids=["with hashes", "without"],
)
def test_requirements_are_installed_with_their_hashes_and_no_installer_stays(
    folder: Path, file: str, options: str
) -> None:
    found = lines(folder, requirements=file)
    assert f'COPY ["{file}", "/opt/projects/requirements.txt"]' in found
    assert [line for line in found if f"{options} /opt/projects/requirements.txt" in line]
    assert found.count(" && rm -rf /opt/pip") == 1


@pytest.mark.parametrize("file", ["pins.txt", "loose.txt"])
def test_a_project_is_installed_and_brings_what_no_hash_was_given_for_only_without_hashes(
    folder: Path, theirs: None, file: str
) -> None:
    found = lines(folder, "plug", requirements=file, **NETWORK)
    (install,) = [line for line in found if line.endswith(" /opt/projects/0 \\")]
    assert ("--no-deps" in install) == (file == "pins.txt")
    assert "entry_points(group='fairway.networks')['theirs'].load()" in found[-1]


def test_a_plugin_that_nothing_brings_is_named_with_its_distribution(
    folder: Path, theirs: None
) -> None:
    with pytest.raises(errors.UsageError, match=r"training\.network theirs is of their-networks"):
        lines(folder, **NETWORK)


MISTAKES = {
    "no code": ((), None, {}, "the configuration names no function; wanted CODE"),
    "no such module": (
        (),
        None,
        {"data": {"function": "gone:rows"}},
        "there is no gone or gone.py",
    ),
    "no such code": (("gone.py",), None, {}, "gone.py does not exist"),
    "outside": (("..",), None, {}, "is outside of"),
    "one name twice": (("features.py", "src/features.py"), None, {}, "have one name"),
    "no module": (("loose.txt",), None, {}, "loose.txt is no module: wanted NAME.py"),
    "another file": ((), "-r more.txt\n", {}, "line 1 names another file"),
    "a folder": ((), "iniconfig\n./plug\n", {}, "line 2 names another file"),
    "credential": ((), "--index-url https://me:secret@index.example/\n", {}, "has a credential"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence(folder: Path, case: str) -> None:
    code, text, config, words = MISTAKES[case]
    if text is not None:
        (folder / "bad.txt").write_text(text)
    with pytest.raises(errors.UsageError, match=words) as raised:
        lines(folder, *code, requirements="bad.txt" if text else None, **config)
    assert "secret" not in str(raised.value)


def test_secrets_and_data_are_in_no_build(folder: Path, tmp_path_factory) -> None:
    for name in (".env", "key.pem", "rows.csv", ".git/config", "words.json"):
        (folder / "mine" / name).parent.mkdir(exist_ok=True)
        (folder / "mine" / name).write_text("x")
    out = tmp_path_factory.mktemp("context")
    own_image.lay(folder, own_image.OwnCode(modules=("mine",), requirements="pins.txt"), out=out)
    found = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert found == {"mine/__init__.py", "mine/models.py", "mine/words.json", "pins.txt"}
    assert {"**/.env", "**/*.pem", "**/*.csv"} <= set(own_image.dockerignore().splitlines())


def test_a_link_is_copied_under_its_own_name(folder: Path) -> None:
    (folder / "linked.py").symlink_to("features.py")
    assert 'COPY ["linked.py", "/opt/code/linked.py"]' in lines(folder, "linked.py")


def test_a_tag_without_its_version_keeps_the_registrys_port() -> None:
    assert image_builds.repository("registry:5000/steps:1") == "registry:5000/steps"
    assert image_builds.repository("registry:5000/steps") == "registry:5000/steps"
