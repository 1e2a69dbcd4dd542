"""Several processes learn what one does. Tolerances are of float32 sums in another order: 1e-4 of a weight
after some hundred steps."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.elastic.multiprocessing.errors import ErrorHandler, ProcessFailure

from fairway import artifacts, errors
from fairway.config import sections
from fairway.training import fit, node, ranks, shares
from tests.training import made

TOLERANCE = 1e-4
TWO = {"processes": 2, "dropout": 0, "classWeights": "balanced"}


# A bias before batch norm has no effect in training. Its gradient is rounding noise, which AdamW
# makes full steps of, and the running mean goes along.
NOISE = ("body.0.bias", "body.1.running_mean")


def furthest(one: Path, other: Path) -> float:
    """Return the largest difference of a weight whose gradient is more than noise."""
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert first.keys() == second.keys()
    named = first.keys() - {*NOISE}
    return max(float((first[name] - second[name]).abs().max()) for name in named)


def losses(record: artifacts.Checkpoint, of: str) -> list[float]:
    """Return the loss of each epoch."""
    return [row[f"{of}_loss"] for row in record.history]


def running() -> list[psutil.Process]:
    """Return the ranks that this process has started, in their order."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # or one that nobody has waited for
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_a_killed_rank_is_one_sentence_and_the_next_try_ends_as_one_process_would(tmp_path):
    dataset = made.tabular(tmp_path)
    # a batch of 33 and the last one of 144 rows do not divide
    values = {"epochs": 30, "patience": 30, "batchSize": 33}
    section = made.training(**TWO, **values)

    def kill(row):
        if row["epoch"] == 1:
            running()[1].kill()

    with pytest.raises(
        errors.TrainingError, match=r"rank 1 of the training.s 2 processes was ended by SIGKILL"
    ):
        fit.fit(section, dataset=dataset, out=tmp_path / "two", progress=kill)
    assert not running()
    assert not (tmp_path / "two").exists()
    told = []
    two = fit.fit(
        section,
        dataset=dataset,
        out=tmp_path / "two",
        progress=lambda row: told.append(row["epoch"]),
    )
    one = fit.fit(
        made.training(**{**TWO, **values, "processes": 1}), dataset=dataset, out=tmp_path / "one"
    )
    assert told[0] > 1
    assert told[-1] == two.epochs == one.epochs
    assert furthest(tmp_path / "one", tmp_path / "two") < TOLERANCE
    for of in ("train", "validation"):
        assert losses(two, of) == pytest.approx(losses(one, of), abs=TOLERANCE)


@pytest.mark.lengthy
def test_batch_norm_sees_the_rows_of_all_nodes_in_a_batch_that_does_not_divide(
    tmp_path, monkeypatch
):
    dataset = made.digits(tmp_path)
    section = made.training(
        **{**TWO, "processes": 1, "family": "convolutional", "batchSize": 33, "epochs": 2}
    )
    config = sections.Config(
        name="digits",
        data=sections.Data.of(source="digits", target="digit"),
        training=section,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # both nodes are this machine
    told = {
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
    }
    second = subprocess.Popen(
        [
            *(sys.executable, "-m", "fairway.training.node", str(dataset), str(tmp_path / "two")),
            config.model_dump_json(by_alias=True),
        ],
        env={**os.environ, **told},
        stderr=subprocess.PIPE,
        text=True,
    )
    first = node.nodes_of({**told, "PET_NODE_RANK": "0"})
    two = fit.fit(section, dataset=dataset, out=tmp_path / "two", nodes=first)
    assert second.communicate() == (None, "")
    assert second.returncode == 0
    one = fit.fit(section, dataset=dataset, out=tmp_path / "one")
    assert furthest(tmp_path / "one", tmp_path / "two") < TOLERANCE
    assert losses(two, "train") == pytest.approx(losses(one, "train"), abs=TOLERANCE)
    # the running mean lags behind the bias that is noise, which validation alone sees
    assert losses(two, "validation") == pytest.approx(losses(one, "validation"), abs=1e-3)


def test_a_node_that_is_told_of_no_others_is_used_wrongly(monkeypatch, capsys):
    for name in ("PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    config = sections.Config(name="digits", data=sections.Data.of(source="digits", target="digit"))
    assert node.main(["data", "out", config.model_dump_json(by_alias=True)]) == 2
    assert "wanted what Kubeflow Trainer sets" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (errors.DataError("no rows: wanted some"), errors.DataError, "no rows: wanted some"),
        (MemoryError("no room"), errors.TrainingError, "rank 3 of the training's 4 processes"),
    ],
    ids=["one of ours", "another"],
)
def test_what_a_rank_raised_of_ours_arrives_as_it_was(raised, kind, said, tmp_path, monkeypatch):
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    ErrorHandler().record_exception(raised)
    failure = ProcessFailure(local_rank=3, pid=1, exitcode=1, error_file=str(file))
    error = ranks.failed(failure, rank=3, count=4)
    assert type(error) is kind
    assert str(error).startswith(said)


@pytest.mark.parametrize("count", [0, 1, 5, 64, 97])
def test_every_row_is_in_one_share_and_shares_differ_by_one_row_at_most(count):
    bounds = [shares.Share(rank, 4).bounds(count) for rank in range(4)]
    rows = [row for start, stop in bounds for row in range(start, stop)]
    assert rows == list(range(count))
    assert max(stop - start for start, stop in bounds) - count // 4 <= 1


def test_ranks_draw_differently_and_the_first_as_one_process_does():
    drawn = []
    for rank in range(3):
        torch.manual_seed(shares.Share(rank, 3).seed(7))
        drawn.append(torch.rand(4).tolist())
    torch.manual_seed(7)
    assert drawn[0] == torch.rand(4).tolist()
    assert len({tuple(row) for row in drawn}) == 3


def test_a_batch_with_fewer_rows_than_processes_is_refused():
    with pytest.raises(ValueError, match=r"wanted a row for each of training\.processes"):
        made.training(processes=8, batchSize=4)
