import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fairway import artifacts, errors
from fairway.config import sections
from fairway.data import prepare, splits
from fairway.model import graph
from fairway.model.metrics import classes
from fairway.training import fit
from tests.training import made

SRC = Path(__file__).parents[2] / "src"
# Trains in a process of its own and says when each epoch is kept; the reader decides when it dies.
CHILD = """
import json, sys
from pathlib import Path
from fairway.config import sections
from fairway.training import fit
fit.fit(sections.Training.of(**json.loads(sys.argv[1])), dataset=Path(sys.argv[2]), out=Path(sys.argv[3]),
        progress=lambda row: (print(row["epoch"], flush=True), sys.stdin.readline()))
"""


@pytest.fixture(scope="module")
def tabular(tmp_path_factory) -> Path:
    return made.tabular(tmp_path_factory.mktemp("tabular"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    return made.digits(tmp_path_factory.mktemp("digits"))


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_weights(tabular, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        fit.fit(made.training(seed=seed), dataset=tabular, out=tmp_path / name)
    for file in ("model.onnx", "model.safetensors", "model.pt2"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "same" / file).read_bytes()
    assert not same_weights(tmp_path / "one", tmp_path / "other")


def test_a_run_killed_in_mid_training_resumes_and_ends_with_the_same_weights(digits, tmp_path):
    section = made.training(
        family="convolutional", epochs=4, dropout=0.3, augmentation={"rotation": 10}
    )
    whole = fit.fit(section, dataset=digits, out=tmp_path / "whole")
    command = [
        sys.executable,
        "-c",
        CHILD,
        section.model_dump_json(),
        str(digits),
        str(tmp_path / "killed"),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    ) as child:
        seen = [child.stdout.readline().strip()]
        child.stdin.write("\n")
        child.stdin.flush()
        seen.append(
            child.stdout.readline().strip()
        )  # the second epoch is kept: its callback waits for a line that never comes
        child.send_signal(signal.SIGKILL)
    assert seen == ["1", "2"]
    assert not (tmp_path / "killed").exists()
    epochs = []
    resumed = fit.fit(
        section,
        dataset=digits,
        out=tmp_path / "killed",
        progress=lambda row: epochs.append(row["epoch"]),
    )
    assert epochs == [3, 4]
    assert resumed.history == whole.history
    assert same_weights(tmp_path / "whole", tmp_path / "killed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_what_another_section_left_behind_is_not_resumed_from(tabular, tmp_path):
    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.fit(made.training(seed=1), dataset=tabular, out=tmp_path / "out", progress=stop)
    epochs = []
    fit.fit(
        made.training(seed=2),
        dataset=tabular,
        out=tmp_path / "out",
        progress=lambda row: epochs.append(row["epoch"]),
    )
    assert epochs == [1, 2, 3]


def test_a_state_that_cannot_be_read_is_begun_anew(tabular, tmp_path):
    (tmp_path / ".out.resume.pt").write_bytes(b"half a fi")
    assert fit.fit(made.training(), dataset=tabular, out=tmp_path / "out").epochs == 3


@pytest.mark.parametrize(
    ("data", "values"), [("tabular", {}), ("digits", {"family": "convolutional"})]
)
def test_the_graph_answers_as_the_network_did_on_rows_it_never_saw(data, values, request, tmp_path):
    dataset = request.getfixturevalue(data)
    record = fit.fit(made.training(**values), dataset=dataset, out=tmp_path / "out")
    rows = splits.load(dataset).test.inputs()
    answers = graph.run(
        tmp_path / "out" / "model.onnx",
        rows,
        output="probabilities",
        width=len(splits.load(dataset).schema.classes),
    )
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    with torch.no_grad():
        expected = program(*[torch.from_numpy(np.array(value)) for value in rows.values()]).numpy()
    assert record.onnx_max_difference < 1e-4
    assert np.allclose(answers, expected, atol=1e-5)
    assert np.allclose(
        graph.run(
            tmp_path / "out" / "model.onnx",
            {k: v[:1] for k, v in rows.items()},
            output="probabilities",
            width=answers.shape[1],
        ),
        answers[:1],
        atol=1e-6,
    )


def test_no_file_of_a_checkpoint_names_a_path_or_holds_a_row(digits, tmp_path):
    fit.fit(made.training(family="convolutional"), dataset=digits, out=tmp_path / "out")
    contents = {
        name: (tmp_path / "out" / name).read_bytes() for name in ("model.onnx", "model.safetensors")
    }
    with zipfile.ZipFile(tmp_path / "out" / "model.pt2") as archive:
        contents |= {name: archive.read(name) for name in archive.namelist()}
    rows = splits.load(digits).validation.inputs()["image"]
    for name, content in contents.items():
        assert not re.search(
            rb"/[\w.-]+/[\w./-]+\.py|" + re.escape(str(tmp_path).encode()), content
        ), name
        assert rows[5].tobytes() not in content, name
    assert all(len(content) == 0 for name, content in contents.items() if "sample_inputs" in name)


def test_the_best_epoch_is_kept_and_training_stops_when_patience_ends(tabular, tmp_path):
    record = fit.fit(
        made.training(epochs=60, patience=2, learningRate=0.1),
        dataset=tabular,
        out=tmp_path / "out",
    )
    losses = [row["validation_loss"] for row in record.history]
    assert record.epochs == record.best_epoch + 2 < 60
    assert losses[record.best_epoch - 1] == min(losses) != losses[-1]
    held_out = splits.load(tabular).validation
    answers = graph.run(
        tmp_path / "out" / "model.onnx", held_out.inputs(), output="probabilities", width=2
    )  # what is exported, not only what is recorded
    assert classes.log_loss(answers, held_out.target) == pytest.approx(min(losses), abs=1e-5)


def test_digits_are_learnt(tmp_path):
    dataset = made.digits(tmp_path, limit=None)
    record = fit.fit(
        sections.Training.of(family="convolutional", threads=1, device="cpu"),
        dataset=dataset,
        out=tmp_path / "out",
    )
    test = splits.load(dataset).test
    answers = graph.run(
        tmp_path / "out" / "model.onnx", test.inputs(), output="probabilities", width=10
    )
    assert (answers.argmax(axis=1) == test.target).mean() > 0.95
    assert record.layout == "named"


def test_progress_tells_each_epoch_as_the_history_keeps_it(tabular, tmp_path):
    told = []
    record = fit.fit(made.training(), dataset=tabular, out=tmp_path / "out", progress=told.append)
    assert tuple(told) == record.history
    assert told[0].keys() == {"epoch", "train_loss", "validation_loss", "validation_accuracy"}
    assert (
        artifacts.from_json(
            artifacts.Checkpoint, artifacts.read_json(tmp_path / "out" / "checkpoint.json")
        )
        == record
    )


def test_training_leaves_the_threads_of_the_process_as_they_were(tabular, tmp_path):
    before = torch.get_num_threads()
    fit.fit(made.training(threads=before + 1, epochs=1), dataset=tabular, out=tmp_path / "out")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "values",
    [
        {"batchSize": 1, "epochs": 1},
        {"batchSize": 10_000, "epochs": 1},
        {"classWeights": "balanced"},
        {"precision": "bfloat16"},
    ],
)
def test_odd_but_allowed_sections_train(values, tabular, tmp_path):
    assert fit.fit(made.training(**values), dataset=tabular, out=tmp_path / "out").history


def prepared(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(folder / "rows.csv", index=False)
    prepare.prepare(sections.Data.of(source="csv", path=folder / "rows.csv"), out=folder / "data")
    return folder / "data"


def emptied(dataset: Path, *, split: str, keep: str | None = None) -> None:
    table = pd.read_parquet(dataset / f"{split}.parquet")
    table[table["label"] == keep if keep else [False] * len(table)].to_parquet(
        dataset / f"{split}.parquet"
    )


@pytest.mark.parametrize(
    ("split", "keep", "said"),
    [
        pytest.param("train", None, r"the training split of .* has no rows", id="no training rows"),
        pytest.param(
            "validation", None, r"the validation split of .* has no rows", id="no validation rows"
        ),
        pytest.param("train", "no", r"all training rows of .* are of class 'no'", id="one class"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(split, keep, said, tmp_path):
    dataset = prepared(tmp_path, made.table())
    emptied(dataset, split=split, keep=keep)
    with pytest.raises(errors.TrainingError, match=said):
        fit.fit(made.training(), dataset=dataset, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_no_number_any_more_names_the_learning_rate(tabular, tmp_path, monkeypatch):
    given = splits.Split.inputs
    huge = np.float32(3e38)
    monkeypatch.setattr(
        splits.Split,
        "inputs",
        lambda self: {
            key: value * huge if key == "numbers" else value for key, value in given(self).items()
        },
    )
    with (
        pytest.raises(
            errors.TrainingError,
            match=r"loss became (nan|inf) in epoch 1: .* lower training.learningRate \(0.003\)",
        ),
        np.errstate(over="ignore"),
    ):
        fit.fit(made.training(), dataset=tabular, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("data", "family", "said"),
    [
        ("tabular", "convolutional", "needs an image feature"),
        ("digits", "tabular", "cannot use an image"),
    ],
)
def test_a_family_that_does_not_fit_the_data_is_refused(data, family, said, request, tmp_path):
    with pytest.raises(errors.ConfigError, match=said):
        fit.fit(
            made.training(family=family),
            dataset=request.getfixturevalue(data),
            out=tmp_path / "out",
        )


def test_a_folder_that_holds_no_dataset_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match="is no prepared dataset"):
        fit.fit(made.training(), dataset=tmp_path, out=tmp_path / "out")


def test_a_failed_run_leaves_the_old_checkpoint(tabular, tmp_path, monkeypatch):
    before = fit.fit(made.training(seed=1), dataset=tabular, out=tmp_path / "out")
    monkeypatch.setattr("fairway.training.parity.TOLERANCE", -1.0)
    with pytest.raises(errors.TrainingError, match="answers differently from the model"):
        fit.fit(made.training(seed=2), dataset=tabular, out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "checkpoint.json").read_text())["seed"] == before.seed
