"""What every network keeps to, ours and a stranger's: the acceptance test of docs/adding.md."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from fairway import errors, plugins
from fairway.config import sections
from fairway.data import splits
from fairway.model import graph
from fairway.training import fit
from tests import strangers
from tests.training import made

STRANGER = '''
"""A straight line, of a package that fairway has never heard of."""
import torch
from torch import nn


class Straight(nn.Module):
    def __init__(self, *, section, shapes, cardinalities, outputs):
        super().__init__()
        self.line = nn.Linear(sum(shape[0] for shape in shapes.values()), outputs)

    def forward(self, **inputs):
        return self.line(torch.cat([value.float() for value in inputs.values()], dim=1))


NETWORK = Straight


def unfit(inputs):
    return "a straight line takes no pictures: use convolutions" if "image" in inputs else None
'''
TABLE, PICTURES = ("numbers", "categories"), ("image",)


def trained(network: str, *, dataset: Path, out: Path, inputs: tuple[str, ...]):
    family = "convolutional" if inputs == PICTURES else "tabular"
    section = sections.Training.of(family=family, network=network, epochs=2, device="cpu")
    return fit.fit(section, dataset=dataset, out=out)


@pytest.mark.parametrize("network", sorted(plugins.found("networks")))
def test_a_network_learns_from_what_it_takes_and_says_of_the_rest_that_it_cannot(network, tmp_path):
    unfit = plugins.load("networks", network).unfit
    assert [unfit(inputs) for inputs in (TABLE, PICTURES)].count(None) >= 1
    datasets = {TABLE: made.tabular(tmp_path), PICTURES: made.digits(tmp_path, limit=200)}
    for inputs, dataset in datasets.items():
        if unfit(inputs) is not None:
            with pytest.raises(errors.TrainingError, match=r"training\.network "):
                trained(network, dataset=dataset, out=tmp_path / "none", inputs=inputs)
            continue
        record = trained(network, dataset=dataset, out=tmp_path / inputs[0], inputs=inputs)
        data = splits.load(dataset)
        answers = graph.run(
            tmp_path / inputs[0] / "model.onnx",
            data.test.inputs(record.layout),
            output="probabilities",
            width=len(data.schema.classes),
        )
        assert record.configuration["network"] == network
        assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert len(record.history) == 2


def test_a_network_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValidationError, match="wanted convolutions or embeddings"):
        sections.Training.of(family="tabular", network="wide")


def test_a_strangers_network_is_configured_and_trained_without_a_line_of_ours(tmp_path):
    (tmp_path / "there").mkdir()
    folder = strangers.install(
        tmp_path / "there",
        "straight",
        version="0.4",
        modules={"straight": STRANGER},
        groups={"networks": {"straight": "straight"}},
    )
    dataset = made.tabular(tmp_path)
    script = f"""
import json, sys
from pathlib import Path
from fairway import plugins
from fairway.config import loader
config = loader.load(None, overrides=["data.source=digits", "training.family=tabular",
    "training.network=straight", "training.epochs=3"])
early = "torch" in sys.modules or "straight" in sys.modules
from fairway.training import fit
record = fit.fit(config.training, dataset=Path({str(dataset)!r}), out=Path({str(tmp_path / "out")!r}))
print(json.dumps([early, record.configuration["network"], plugins.found("networks")["straight"].distribution]))
"""
    done = strangers.python(folder, "-c", script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [False, "straight", "straight"]
    assert (tmp_path / "out" / "model.onnx").is_file()
    listed = strangers.python(folder, "-m", "fairway", "check", "--home", str(folder / "home"))
    assert "networks       straight, of straight 0.4" in listed.stdout
