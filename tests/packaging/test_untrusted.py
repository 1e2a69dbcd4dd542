"""Packages and the files that people write for them may come from anybody: what they unpack to is
bounded, what they claim is checked."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from fairway import artifacts, errors
from fairway.config import documents
from fairway.control import observe
from fairway.packaging import golden, imported, manifest
from tests.fuzz import targets
from tests.serving import support

MEBIBYTE = 1 << 20


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def array(values: object, *, header: str = "") -> bytes:
    """Give an array as numpy writes it; `header` replaces its shape."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    content = buffer.getvalue()
    return content.replace(b"'shape': (2,)", header.encode()) if header else content


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"age": bytes(400 * MEBIBYTE)}, id="zeros-that-unpack-to-400-MiB"),
        pytest.param(
            {"age": array(np.zeros(2), header="'shape': (2**50,)")}, id="shape-that-is-not-there"
        ),
        pytest.param(
            {"age": array(np.zeros(2), header="'shape': (999999999999,)")}, id="enormous-shape"
        ),
        pytest.param({"age": array(np.array([{"a": 1}], dtype=object))}, id="pickle"),
        pytest.param({"age": b"no array"}, id="no-array"),
        pytest.param({f"f{n}": b"" for n in range(10_001)}, id="many"),
    ],
)
def test_a_reference_is_unpacked_only_where_all_of_it_is_within_its_bound(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    path = archive(tmp_path / "reference.npz", **members)
    tracemalloc.start()
    with pytest.raises(errors.PackageError, match="is no reference window"):
        golden.read_reference(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * MEBIBYTE
    tracemalloc.stop()


def test_an_archive_that_lies_of_its_size_is_not_unpacked_beyond_it(tmp_path: Path) -> None:
    size, claimed = (400 * MEBIBYTE).to_bytes(4, "little"), (1_000).to_bytes(4, "little")
    path = archive(tmp_path / "reference.npz", age=bytes(400 * MEBIBYTE))
    path.write_bytes(path.read_bytes().replace(size, claimed))
    tracemalloc.start()
    with pytest.raises(errors.PackageError, match="is no reference window"):
        golden.read_reference(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * MEBIBYTE
    tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_a_reference_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reference.npz").write_bytes(content)
    with pytest.raises(errors.PackageError, match="is no reference window"):
        golden.read_reference(tmp_path / "reference.npz")


def test_a_reference_is_read_as_it_was_written_with_its_words_cut(tmp_path: Path) -> None:
    words = np.array(["x" * 5_000, None, "state"], dtype=object)
    written = golden.reference_bytes(
        {"age": np.array([1.0, np.nan, 3.0]), "sector": words},
        answers=np.zeros((3, 2)),
        rows=np.arange(3),
    )
    (tmp_path / "reference.npz").write_bytes(written)
    read = golden.read_reference(tmp_path / "reference.npz")
    assert read["sector"].tolist() == ["x" * golden.LONGEST_WORD, "", "state"]
    assert np.array_equal(read["age"], [1.0, np.nan, 3.0], equal_nan=True)
    assert read["__probabilities__"].shape == (3, 2)


def doubled(levels: int) -> str:
    """Give YAML of which each line stands for the line before it, ten times."""
    lines = [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)),
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        doubled(9),
        "[" * 200 + "]" * 200,
        "[" * 100_000,
        "a: &a [*a]",
        "x" * (documents.LARGEST + 1),
        "a: " + "9" * 5_000,
        "a: !!timestamp 2001-99-99",
        "a: 1\na: 2",
    ],
    ids=[
        "aliases",
        "deep",
        "deeper-than-the-stack",
        "alias-of-itself",
        "long",
        "5,000-digits",
        "no-date",
        "key-twice",
    ],
)
def test_yaml_beyond_its_bounds_is_refused_before_it_is_made(tmp_path: Path, text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        documents.parse(text)
    (tmp_path / "schema.yaml").write_text(text)
    with pytest.raises(errors.PackageError, match="cannot be read as YAML or JSON"):
        imported.read_schema(tmp_path / "schema.yaml")


def test_yaml_with_a_few_anchors_is_read_as_ever() -> None:
    assert documents.parse("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(support.packaged(tmp_path_factory.mktemp("package")).path)


def changed(package: Path, name: str, /, **entries: object) -> bytes:
    return json.dumps({**artifacts.read_json(package / name), **entries}).encode()


@pytest.mark.parametrize(
    "claim",
    [
        {"championDisagreement": float("nan")},
        {"championDisagreement": -5},
        {"championDisagreement": float("inf")},
        {"championDisagreement": 1.5},
        {"championDisagreement": True},
        {"testAccuracy": "0.9"},
        {"testLoss": 1.5},
        {"championDigest": "sha256:x"},
        {"classes": ["a", "a"]},
        {"classes": []},
        {"classes": [1, 2]},
        {"classes": ["x" * 257, "y"]},
        {"features": []},
        {"features": [{"kind": "number"}]},
        {"features": [{"name": "p", "kind": "image", "shape": [2**31, 2**31, 3]}]},
        {"name": None},
        {"files": {"model.onnx": 1}},
    ],
    ids=str,
)
def test_a_manifest_that_claims_what_cannot_be_is_refused(
    package: Path, tmp_path: Path, claim: dict[str, object]
) -> None:
    said = targets.load_changed(
        package,
        name=manifest.NAME,
        content=changed(package, manifest.NAME, **claim),
        into=tmp_path / "changed",
    )
    assert manifest.NAME in said
    assert "package the model again" in said


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("evaluation.json", {"champion_disagreement_bound": -5}),
        ("evaluation.json", {"champion_disagreement_bound": 1e9}),
        ("golden.json", {"tolerance": 5}),
        ("golden.json", {"tolerance": -1}),
        (
            "golden.json",
            {"inputs": {"age": ["x" * 9_999] * 8, "hours": [1] * 8, "sector": ["state"] * 8}},
        ),
    ],
    ids=[
        "negative-bound",
        "enormous-bound",
        "tolerance-that-proves-nothing",
        "negative-tolerance",
        "words-for-numbers",
    ],
)
def test_what_a_package_s_files_claim_is_checked_too(
    package: Path, tmp_path: Path, name: str, claim: dict[str, object]
) -> None:
    content = json.dumps({**targets.good_file(package, name), **claim}).encode()
    assert f"{tmp_path / 'changed' / name}" in targets.load_changed(
        package, name=name, content=content, into=tmp_path / "changed"
    )


@pytest.mark.parametrize("said", [float("nan"), -5.0, float("inf"), "0.1", [0.1], None])
def test_a_server_that_claims_what_cannot_be_moves_no_bound(said: object) -> None:
    assert (
        observe.offline_disagreement(
            {"championDisagreement": said, "championDigest": None}, stable="x"
        )
        is None
    )


@pytest.mark.parametrize("answers", [None, 0.5, [], [0.5], [[0.5, 0.5]]], ids=str)
def test_golden_answers_that_are_no_row_for_each_of_the_inputs_are_refused(
    tmp_path: Path, answers: object
) -> None:
    loaded = manifest.load(Path(support.packaged(tmp_path).path))
    content = artifacts.read_json(loaded.path / "golden.json") | {"probabilities": answers}
    (tmp_path / "golden.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(errors.PackageError, match="which its inputs do not match"):
        golden.read(tmp_path / "golden.json", schema=loaded.schema)
