"""A pod that was preempted goes on in another, from the state at the workspace."""

import logging
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from fairway import artifacts
from fairway.training import fit, mirror
from tests.training import made

LONG = {"epochs": 12, "patience": 12}


class Preempted(Exception):
    """The pod's node was taken away."""


def fitted(pod: Path, dataset: Path, *, workspace: str, until: int = 99) -> list[int]:
    """Fit in a folder that no other pod has; return the epochs of this try."""
    told: list[int] = []

    def tell(row: Any) -> None:
        told.append(row["epoch"])
        if row["epoch"] >= until:
            raise Preempted

    section = made.training(**LONG)
    fit.fit(section, dataset=dataset, out=pod / "model", progress=tell, workspace=workspace)
    return told


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY_SECONDS", 0.0)


def test_another_pod_goes_on_and_ends_with_the_same_weights(tmp_path: Path, often: None) -> None:
    dataset, workspace = made.tabular(tmp_path), (tmp_path / "bucket").as_uri()
    with pytest.raises(Preempted):
        fitted(tmp_path / "first", dataset, workspace=workspace, until=5)
    told = fitted(tmp_path / "second", dataset, workspace=workspace)
    assert told == [6, 7, 8, 9, 10, 11, 12]
    whole = fit.fit(made.training(**LONG), dataset=dataset, out=tmp_path / "whole")
    weights = [
        load_file(place / "model.safetensors")
        for place in (tmp_path / "whole", tmp_path / "second" / "model")
    ]
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])
    record = artifacts.read_json(tmp_path / "second" / "model" / "checkpoint.json")
    assert tuple(record["history"]) == whole.history
    assert [path.name for path in (tmp_path / "second").iterdir()] == ["model"]


def test_a_training_of_something_else_begins_anew(tmp_path: Path, often: None) -> None:
    dataset, workspace = made.tabular(tmp_path), (tmp_path / "bucket").as_uri()
    with pytest.raises(Preempted):
        fitted(tmp_path / "first", dataset, workspace=workspace, until=5)
    (tmp_path / "other").mkdir()
    other = made.tabular(tmp_path / "other", rows=300)
    assert fitted(tmp_path / "second", other, workspace=workspace)[0] == 1


@pytest.mark.parametrize("workspace", ["s3://no-such/bucket", "pvc://nowhere/x", "https://a/b"])
def test_a_workspace_that_cannot_be_used_costs_one_warning(
    workspace: str,
    tmp_path: Path,
    often: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-1")
    dataset = made.tabular(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert fitted(tmp_path / "pod", dataset, workspace=workspace)[-1] == 12
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith("the state of the training cannot be read at")
    assert said.endswith("a pod that is preempted begins anew")


def test_a_state_is_copied_as_often_as_the_clock_says(tmp_path: Path) -> None:
    now = [0.0]
    copies = mirror.StateMirror(
        (tmp_path / "bucket").as_uri(), identity={"section": 1}, clock=lambda: now[0]
    )
    kept = tmp_path / "state.pt"

    def copied() -> list[bytes]:
        return [one.read_bytes() for one in (tmp_path / "bucket").rglob("*.pt")]

    for at, content in ((10.0, b"a"), (30.0, b"b"), (59.0, b"c"), (61.0, b"d")):
        now[0] = at
        kept.write_bytes(content)
        copies.keep(kept)
        assert copied() == {10.0: [], 30.0: [b"b"], 59.0: [b"b"], 61.0: [b"d"]}[at]
    assert copies.fetch(kept) is False  # one lies there
    kept.unlink()
    assert copies.fetch(kept) is True
    assert kept.read_bytes() == b"d"
