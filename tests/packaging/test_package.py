import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.packaging import golden, manifest, package
from fairway.packaging import imported as imports
from tests.serving import support


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(support.packaged(tmp_path / "made").path)


def writable(folder: Path, name: str) -> Path:
    (folder / name).chmod(0o644)
    return folder / name


def test_a_package_is_named_by_the_digest_of_its_manifest(folder):
    loaded = package.load(folder)
    assert loaded.digest == f"sha256:{folder.name}"
    assert loaded.digest == files.digest_bytes(
        files.canonical(artifacts.read_json(folder / "manifest.json"))
    )
    assert (loaded.name, loaded.schema.classes, loaded.layout) == ("income", ("no", "yes"), "named")


def test_packaging_the_same_again_gives_the_same_and_leaves_nothing_behind(tmp_path):
    first, second = support.packaged(tmp_path / "a"), support.packaged(tmp_path / "a")
    elsewhere = support.packaged(tmp_path / "b")
    assert first == second
    assert elsewhere.digest == first.digest
    assert [entry.name for entry in (tmp_path / "a" / "store").iterdir()] == [
        first.digest.removeprefix("sha256:")
    ]


def test_another_graph_gives_another_digest(tmp_path):
    assert support.packaged(tmp_path, seed=1).digest != support.packaged(tmp_path, seed=2).digest


def test_the_files_cannot_be_written(folder):
    assert all(not file.stat().st_mode & stat.S_IWUSR for file in folder.iterdir())


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "preprocessing.json"])
def test_a_changed_file_is_refused_by_name(folder, name):
    file = writable(folder, name)
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(errors.PackageError, match=f"{name} has the digest"):
        package.load(folder)


def test_a_missing_an_extra_and_a_linked_file_are_refused(folder, tmp_path):
    extra = folder / "weights.pkl"
    extra.write_bytes(b"")
    with pytest.raises(errors.PackageError, match=r"weights\.pkl is not in the manifest"):
        package.load(folder)
    extra.unlink()
    (folder / "model.onnx").rename(tmp_path / "moved.onnx")
    with pytest.raises(errors.PackageError, match=r"model\.onnx is missing"):
        package.load(folder)
    (folder / "model.onnx").symlink_to(tmp_path / "moved.onnx")
    with pytest.raises(errors.PackageError, match="symbolic link"):
        package.load(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "./model.onnx", "manifest.json"]
)
def test_a_path_out_of_the_package_is_refused(folder, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    data = artifacts.read_json(copy / "manifest.json")
    data["files"][name] = "sha256:" + "0" * 64
    artifacts.write_json(copy / "manifest.json", data)
    with pytest.raises(errors.PackageError, match="wanted a relative path within the package"):
        package.load(copy)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        ("{}", "formatVersion None"),
        ('{"formatVersion": 1}', "has no 'name'"),
        ('{"formatVersion": NaN}', "NaN is no JSON number"),
    ],
)
def test_a_damaged_manifest_is_refused_with_a_sentence(folder, tmp_path, text, sentence):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(errors.PackageError, match=sentence):
        package.load(tmp_path)


def test_a_manifest_that_was_rewritten_in_the_store_is_refused(folder):
    file = writable(folder, "manifest.json")
    file.write_text(file.read_text().replace("unspecified", "MIT"))
    with pytest.raises(errors.PackageError, match="wanted the one its folder is named by"):
        package.load(folder)


def test_a_revision_changes_with_package_serving_and_image():
    names = {
        package.revision("sha256:a", serving=sections.Serving()),
        package.revision("sha256:b", serving=sections.Serving()),
        package.revision("sha256:a", serving=sections.Serving(workers=2)),
        package.revision("sha256:a", serving=sections.Serving(), image="v2"),
    }
    assert len(names) == 4
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names)
    assert package.revision("sha256:a", serving=sections.Serving()) in names


def imported(tmp_path: Path, **changes: object) -> artifacts.Package:
    (tmp_path / "schema.yaml").write_text(json.dumps(support.SCHEMA | changes))
    model = support.onnx_model(tmp_path / "model.onnx")
    return package.import_onnx(
        model, schema=tmp_path / "schema.yaml", name="income", out=tmp_path / "store"
    )


def test_reference_and_golden_rows_come_from_the_files_that_the_schema_names(tmp_path):
    rows = "".join(f"{20 + n},{'' if n % 2 else 40},state\n" for n in range(30))
    (tmp_path / "rows.csv").write_text(f"age,hours,sector\n{rows}")
    loaded = package.load(Path(imported(tmp_path, reference="rows.csv").path))
    with np.load(loaded.path / "reference.npz", allow_pickle=False) as reference:
        assert reference["age"].tolist() == [20.0 + n for n in range(30)]
        assert int(np.isnan(reference["hours"]).sum()) == 15
        assert reference["sector"].dtype.kind == "U"
        assert reference["__probabilities__"].shape == (30, 2)
        assert reference["__row__"].tolist() == list(range(30))
    golden = artifacts.read_json(loaded.path / "golden.json")
    assert (len(golden["inputs"]["age"]), golden["inputs"]["hours"][-1]) == (8, None)


@pytest.mark.parametrize("name", ["file", "self", "x.npy", "arr_0", "allow_pickle", "é ü"])
def test_a_column_may_have_any_name(tmp_path, name):
    columns = {name: np.arange(3.0), "x": np.array(["a", None, "b"], dtype=object)}
    content = golden.reference_bytes(columns, answers=np.full((3, 2), 0.5), rows=np.arange(3))
    (tmp_path / "reference.npz").write_bytes(content)
    found = golden.read_reference(tmp_path / "reference.npz")
    assert (found[name].tolist(), found["x"].tolist()) == ([0.0, 1.0, 2.0], ["a", "", "b"])
    assert found["__row__"].tolist() == [0, 1, 2]


def test_a_column_called_as_a_part_of_the_reference_is_refused() -> None:
    with pytest.raises(errors.PackageError, match="a column is called __row__"):
        golden.reference_bytes(
            {"__row__": np.arange(3.0)}, answers=np.ones((3, 1)), rows=np.arange(3)
        )


def test_country_codes_and_older_yamls_words_in_a_schema_file_are_what_they_say(tmp_path):
    text = "target: joined\nclasses: [no, yes]\nfeatures:\n"
    text += "  - {name: country, kind: category, categories: [SE, NO, DK]}\n"
    text += "  - {name: zip, kind: category, categories: [010, 00501, 12:30]}\n"
    (tmp_path / "schema.yaml").write_text(text)
    declared = imports.read_schema(tmp_path / "schema.yaml")
    assert declared["schema"].classes == ("no", "yes")
    categories = [list(one.categories) for one in declared["schema"].features]
    assert categories == [["SE", "NO", "DK"], ["010", "00501", "12:30"]]


def test_without_reference_rows_there_is_no_reference(folder):
    assert "reference.npz" not in package.load(folder).files


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"classes": ["one"]}, "at least two different names", id="one-class"),
        pytest.param({"classes": ["a", "b", "c"]}, "answers with shape", id="classes-do-not-fit"),
        pytest.param(
            {"classes": ["no", True]},
            "classes has true, which is no text: wanted it in quotes",
            id="boolean",
        ),
        pytest.param(
            {"classes": [None, "a"]}, "classes has null, which is no text", id="nothing-for-a-class"
        ),
        pytest.param(
            {"features": [{"name": "x", "kind": "category", "categories": ["a", False]}]},
            r"features\[0\]: categories has false, which is no text",
            id="boolean-category",
        ),
        pytest.param({"features": []}, "features is", id="no-features"),
        pytest.param(
            {"features": [{"name": "x", "kind": "colour"}]}, "text or image", id="unknown-kind"
        ),
        pytest.param({"colour": 1}, "'colour' is no key", id="unknown-key"),
        pytest.param({"layout": "wide"}, "wanted named or flat", id="unknown-layout"),
        pytest.param({"golden": "none.csv"}, "cannot be read as CSV", id="no-rows-file"),
        pytest.param({"preprocessing": {"wage": []}}, "none of the features", id="unknown-feature"),
    ],
)
def test_a_wrong_schema_file_is_refused_with_a_sentence(tmp_path, changes, sentence):
    with pytest.raises(errors.PackageError, match=sentence):
        imported(tmp_path, **changes)
    assert not (tmp_path / "store").exists() or not os.listdir(tmp_path / "store")


def test_what_is_no_graph_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(support.SCHEMA))
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(errors.ModelError, match="no ONNX graph that can run"):
        package.import_onnx(
            tmp_path / "model.onnx",
            schema=tmp_path / "schema.json",
            name="income",
            out=tmp_path / "store",
        )
    assert os.listdir(tmp_path / "store") == []


def test_a_manifest_is_read_without_onnxruntime_or_pandas(folder):
    assert manifest.load(folder).record().digest == package.load(folder).digest
