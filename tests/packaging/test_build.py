from pathlib import Path

import numpy as np
import pytest

from fairway import artifacts, errors
from fairway.config import sections
from fairway.data import prepare
from fairway.packaging import package
from fairway.serving import batch, predictor
from fairway.training import fit

DATA = Path(__file__).parents[3] / "shared" / "data"
KINDS = {
    "tabular": {
        "data": {
            "source": "csv",
            "path": str(DATA / "adult.data"),
            "target": "income",
            "limit": 2000,
        },
        "training": {"epochs": 1},
    },
    "image": {"data": {"source": "digits"}, "training": {"family": "convolutional", "epochs": 1}},
}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory) -> tuple[sections.Config, Path, artifacts.Package]:
    folder = tmp_path_factory.mktemp(request.param)
    config = sections.Config.model_validate({"name": request.param, **KINDS[request.param]})
    prepare.prepare(config.data, out=folder / "data")
    fit.fit(config.training, dataset=folder / "data", out=folder / "checkpoint")
    return config, folder, build(config, folder)


def build(config: sections.Config, folder: Path) -> artifacts.Package:
    gate = artifacts.GateDecision(promote=True, reason="it is better", checks=())
    return package.build(
        name=config.name,
        dataset=folder / "data",
        checkpoint=folder / "checkpoint",
        evaluation=None,
        gate=gate,
        config=config,
        out=folder / "store",
    )


def test_a_trained_model_is_packaged_with_its_lineage_and_reproduces_its_golden_rows(made):
    config, _, record = made
    loaded = package.load(Path(record.path))
    predictor.Predictor(loaded).check_golden()
    assert loaded.lineage["datasetVersion"] == record.dataset_version
    assert loaded.lineage["gate"]["reason"] == "it is better"
    assert "/" not in str(loaded.lineage["configuration"]["data"].get("path"))
    assert config.name == loaded.name


def test_building_again_gives_the_same_package(made):
    config, folder, record = made
    assert build(config, folder) == record


def test_the_reference_window_holds_raw_rows_and_the_model_s_answers(made):
    _, _, record = made
    model = predictor.Predictor.load(Path(record.path))
    with np.load(Path(record.path) / "reference.npz", allow_pickle=False) as reference:
        window = {name: reference[name] for name in reference.files}
    answers = list(batch.predict(model, [window]))
    assert len(window["__row__"]) == len(set(window["__row__"].tolist())) <= 1000
    assert np.allclose(answers[0].values["probabilities"], window["__probabilities__"], atol=1e-5)


def test_a_batch_without_a_feature_is_refused_by_name(made):
    _, _, record = made
    with pytest.raises(errors.DataError, match="the rows have no column"):
        list(batch.predict(predictor.Predictor.load(Path(record.path)), [{}]))


def test_a_checkpoint_of_another_dataset_is_refused(made, tmp_path):
    config, folder, _ = made
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for file in (folder / "checkpoint").iterdir():
        if file.is_file():
            (checkpoint / file.name).write_bytes(file.read_bytes())
    record = artifacts.read_json(checkpoint / "checkpoint.json")
    artifacts.write_json(
        checkpoint / "checkpoint.json", record | {"dataset_version": "sha256:other"}
    )
    with pytest.raises(errors.PackageError, match="was trained on dataset sha256:other"):
        package.build(
            name="x",
            dataset=folder / "data",
            checkpoint=checkpoint,
            evaluation=None,
            gate=None,
            config=config,
            out=tmp_path / "store",
        )
