"""The images' recipe, read: no daemon is at hand to build it, so what it promises is held to its
text."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from components import IMAGE

ROOT = Path(__file__).parents[2]
TARGETS = ("data", "train", "serve", "drift", "pipelines")
IMAGES = (*TARGETS, "operator", "seldon")
INSTALLERS = re.compile(r"\b(?:pip|uv|hatchling|apt-get|apt|curl|wget|gcc)\b")


def instructions() -> list[str]:
    text = (ROOT / "components" / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [line for line in re.sub(r"\\\n", " ", lines).splitlines() if line.strip()]


def stages() -> dict[str, tuple[str, list[str]]]:
    """Return each stage's base and its own instructions."""
    found: dict[str, tuple[str, list[str]]] = {}
    for line in instructions():
        if match := re.match(r"FROM (\S+) AS (\S+)$", line):
            found[match[2]] = (match[1], [])
            name = match[2]
        elif found:
            found[name][1].append(line)
    return found


def lineage(name: str) -> list[str]:
    """Return all instructions of an image, those of its bases first."""
    base, own = stages()[name]
    return [*(lineage(base) if base in stages() else []), *own]


def test_the_base_is_one_argument_and_pinned_by_digest():
    outside = {base for base, _ in stages().values() if base not in stages()}
    assert outside == {"${BASE}"}
    (base,) = [line for line in instructions() if line.startswith("ARG BASE=")]
    assert re.search(r"@sha256:[0-9a-f]{64}$", base)


def test_there_is_a_target_for_each_extra_that_an_image_needs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert set(TARGETS) <= set(extras) & set(stages())
    for target in TARGETS:
        assert any(f"--extra {target}" in line for line in stages()[f"build-{target}"][1])


def test_a_step_can_fetch_from_a_bucket_ask_a_cluster_and_read_events():
    (line,) = [line for line in stages()["build-train"][1] if "--extra train" in line]
    assert "--extra kubernetes --extra s3 --extra gcs --extra postgres" in line


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_runs_as_nobody_and_holds_no_installer(target):
    lines = lineage(target)
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    last = lines.index(users[0])
    # nothing is done after the user is nobody
    assert not [line for line in lines[last:] if line.startswith("RUN ")]
    installs = [
        line
        for line in lines
        if line.startswith(("RUN ", "CMD ", "ENTRYPOINT ")) and INSTALLERS.search(line)
    ]
    assert [("uninstall" in line, " pip" in line) for line in installs] == [(True, True)]
    assert stages()[target][0] == "runtime"
    assert any(line == f"COPY --from=build-{target} /opt/fairway /opt/fairway" for line in lines)


def test_all_that_is_installed_is_in_the_lock_with_its_hash():
    installing = [
        line for _, own in stages().values() for line in own if re.search(r"pip\s+install", line)
    ]
    assert installing
    for line in installing:
        assert "--require-hashes" in line or line.endswith("--no-deps /wheel/*.whl"), line


def test_a_stage_has_copied_each_file_that_it_uses():
    """A file in no COPY of the stage or its bases is not there, however the clone looks."""
    for name in stages():
        there: set[str] = set()
        for line in lineage(name):
            if line.startswith("COPY ") and "--from" not in line:
                there |= {Path(word).name for word in line.split()[1:-1]}
            elif line.startswith("RUN "):
                used = {
                    file
                    for file in ("requirements.lock", "requirements-seldon.lock", "pyproject.toml")
                    if file in line
                }
                used |= (
                    {
                        "pyproject.toml",
                        "README.md",
                        "LICENSE",
                        "src",
                        "components",
                        "*.yaml",
                    }
                    if "hatchling build" in line
                    else set()
                )
                assert used <= there, f"{name}: {used - there} before {line}"


def test_what_is_copied_from_the_clone_is_in_it():
    for _, own in stages().values():
        for line in own:
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert list(ROOT.glob(source)), line


def test_the_versions_that_the_recipe_names_are_the_locked_ones():
    lock = (ROOT / "requirements.lock").read_text()
    text = "\n".join(instructions())
    assert set(re.findall(r"kfp==[\d.]+", text)) == set(
        re.findall(r"^kfp==[\d.]+", lock, re.MULTILINE)
    )
    tools = re.search(r"\\\(([^)]*)\\\)==", text)
    assert tools is not None
    for tool in tools[1].split(r"\|"):
        assert re.search(rf"^{tool}==\S+", lock, re.MULTILINE), tool


def test_seldons_image_has_an_environment_of_its_own_with_pins_and_hashes_only():
    lines = (ROOT / "requirements-seldon.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line]
    assert not [
        line
        for line, after in itertools.pairwise(lines)
        if re.match(r"[a-z0-9]", line) and "--hash=sha256:" not in after
    ]
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", "\n".join(lines), re.MULTILINE))
    assert pinned["seldon-core"] == "1.17.1"  # the last under Apache-2.0
    assert (
        int(pinned["setuptools"].partition(".")[0]) < 81
    )  # the first without pkg_resources, which its gunicorn imports
    assert {"bentoml", "torch"}.isdisjoint(pinned)


def test_seldons_wrapper_obeys_sigterm_and_counts_in_one_process():
    settings = " ".join(line for line in stages()["seldon"][1] if line.startswith("ENV "))
    assert {
        "GRPC_WORKERS=0",
        "GUNICORN_WORKERS=1",
        "INCLUDE_METRICS_IN_CLIENT_RESPONSE=false",
    } <= set(settings.split())


def test_the_pipelines_image_is_the_recipes_default_target():
    assert list(stages())[-1] == "train"
    assert f"--target train --tag {IMAGE}" in (ROOT / "components" / "Dockerfile").read_text()
