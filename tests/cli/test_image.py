"""`fairway image build` without a build: what it prints, what it writes, and what it refuses."""

from pathlib import Path

import pytest

from fairway import errors
from fairway.pipelines import image_builds
from tests.cli.running import assert_one_sentence, fairway

CONFIGURATION = 'data: {source: function, function: "features:rows", target: income}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fairway.yaml").write_text(CONFIGURATION)
    (tmp_path / "features.py").write_text("")
    return tmp_path


def test_what_is_printed_is_what_is_kept_beside_what_is_left_out(folder: Path) -> None:
    printed = fairway("image", "build", "--print", where=folder)
    assert printed.stdout.startswith("FROM ghcr.io/fairway/pipeline:")
    written = fairway("image", "build", "--out", "Dockerfile.steps", where=folder)
    assert written.stdout == "wrote Dockerfile.steps and Dockerfile.steps.dockerignore\n"
    assert (folder / "Dockerfile.steps").read_text() == printed.stdout
    assert "**/.env\n" in (folder / "Dockerfile.steps.dockerignore").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--tag is not said"),
        (("--out", "Dockerfile.steps", "--push"), "--tag is not said"),
        (("--print", "--base", "two words"), "the base image is 'two words'"),
        (("--print", "--set", "environment=production"), "production wants NAME@sha256:..."),
    ],
    ids=["no tag", "push without tag", "bad base", "production"],
)
def test_a_mistake_ends_with_a_sentence(folder: Path, options: tuple[str, ...], words: str) -> None:
    assert_one_sentence(fairway("image", "build", *options, where=folder), status=2, words=words)


@pytest.mark.parametrize(
    ("asked", "words"), [(None, "there is no builder"), ("podman", "podman does not work")]
)
def test_without_a_builder_the_three_and_print_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str | None, words: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = f"{words} here: wanted docker, podman or buildah, .* --print"
    with pytest.raises(errors.UsageError, match=wanted):
        image_builds.choose(asked)


def test_the_first_builder_that_works_is_taken_and_a_client_without_its_daemon_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, status in (("docker", 1), ("podman", 0), ("buildah", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert image_builds.choose(None) == "podman"
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    assert image_builds.choose(None) == "docker"
    assert image_builds.choose("buildah") == "buildah"
