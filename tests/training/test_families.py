"""What every family of training keeps to, ours and a stranger's: the acceptance test of
docs/adding.md."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from fairway.config import loader, sections
from fairway.data import splits
from fairway.model import graph
from fairway.training import families, fit
from tests import strangers
from tests.training import made

STRANGER = '''
"""Always the classes' shares, of a package that fairway has never heard of."""
from typing import Annotated, Literal

from pydantic import Field

from fairway.config import sections


class SharesTraining(sections.Training):
    family: Literal["shares"] = "shares"
    trees: Annotated[int, Field(ge=1)] = 3


SECTION = SharesTraining


def unfit(inputs):
    return None


def fit(section, *, run):
    from sklearn.ensemble import RandomForestClassifier

    from fairway.training import export, user

    forest = RandomForestClassifier(section.trees, random_state=section.seed)
    forest.fit(run.data.train.inputs("flat")["features"], run.data.train.target)
    return user.made(forest, data=run.data, named="family shares")
'''
KEYS = {
    "boosting": {"rounds": 5},
    "convolutional": {"epochs": 1, "channels": [4]},
    "function": {"function": "mine_of_families:fit"},
    "tabular": {"epochs": 1},
}
MINE = """
from sklearn.linear_model import LogisticRegression

def fit(splits, *, seed):
    return LogisticRegression(max_iter=500).fit(splits.train.inputs("flat")["features"], splits.train.target)
"""


@pytest.mark.parametrize("family", sorted(sections.FAMILIES.sections))
def test_a_family_fits_what_it_takes_and_survives_the_configuration(family, tmp_path, monkeypatch):
    made.code(tmp_path, monkeypatch, name="mine_of_families", text=MINE)
    assert family in KEYS, f"this test has no keys for family {family}: write some"
    section = sections.Training.of(family=family, **KEYS[family])
    config = sections.Config(data=sections.Data.of(source="digits"), training=section)
    again = loader.check(config.model_dump(mode="json", by_alias=True), where="the dump").training
    assert again == section
    assert type(again) is sections.FAMILIES.sections[family]
    inputs = ["numbers", "categories"] if families.unfit(family, inputs=["image"]) else ["image"]
    assert families.unfit(family, inputs=inputs) is None
    dataset = made.digits(tmp_path) if inputs == ["image"] else made.tabular(tmp_path)
    record = fit.fit(again, dataset=dataset, out=tmp_path / "out")
    data = splits.load(dataset)
    answers = graph.run(
        tmp_path / "out" / "model.onnx",
        data.test.inputs(record.layout),
        output="probabilities",
        width=len(data.schema.classes),
    )
    assert record.family == family
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", sorted(sections.FAMILIES.sections))
def test_every_key_of_a_family_says_why(family):
    described = sections.FAMILIES.sections[family].model_fields
    assert [
        key for key, field in described.items() if not field.description and key != "augmentation"
    ] == []


def test_keys_of_another_family_are_dropped_since_a_group_may_have_said_them_first():
    chosen = loader.load(
        None, overrides=["data.source=digits", "training.family=boosting"]
    ).training
    assert (chosen.family, chosen.most_epochs) == ("boosting", 500)
    assert (
        sections.Training.of(family="function", function="a:b", epochs=3, batchSize=9).function
        == "a:b"
    )


def test_a_configuration_of_before_families_had_keys_of_their_own_is_read():
    before = {
        "family": "tabular",
        "function": None,
        "channels": [16, 32],
        "augmentation": {},
        "epochs": 7,
    }
    assert sections.Training.of(**before).epochs == 7


def test_a_family_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        ValidationError, match="wanted a family that is installed: boosting, convolutional, "
    ):
        sections.Training.of(family="forest")


def test_a_strangers_family_is_configured_and_trained_without_a_line_of_ours(tmp_path):
    modules, entries = {"shares": STRANGER}, {"families": {"shares": "shares"}}
    (tmp_path / "there").mkdir()
    folder = strangers.install(
        tmp_path / "there", "shares", version="1.2", modules=modules, groups=entries
    )
    dataset = made.tabular(tmp_path)
    script = f"""
import json
from pathlib import Path
from fairway import plugins
from fairway.config import loader
from fairway.training import fit
config = loader.load(None, overrides=["data.source=digits", "training.family=shares", "training.trees=2"])
record = fit.fit(config.training, dataset=Path({str(dataset)!r}), out=Path({str(tmp_path / "out")!r}))
print(json.dumps([record.family, record.configuration["trees"], plugins.found("families")["shares"].distribution]))
"""
    done = strangers.python(folder, "-c", script)
    assert json.loads(done.stdout.splitlines()[-1]) == ["shares", 2, "shares"], done.stderr
    assert (Path(tmp_path) / "out" / "model.onnx").is_file()
