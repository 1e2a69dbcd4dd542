"""A kind and a task of a stranger's package: nothing of ours knows their names."""

import json
from pathlib import Path

import pytest

from tests import strangers
from tests.serving import support

KIND = """
from fairway.model.kinds.number import Number

class Percent(Number):
    name, noun = "percent", "a percentage"

    def cell(self, value, feature):
        return super().cell(_plain(value), feature)

    def sweep(self, feature, steps, *, most):
        return [f"{value} %" for value in super().sweep(feature, steps, most=most)]

def _plain(value):
    return float(value.rstrip("% ")) if isinstance(value, str) else value
"""
TASK = """
from fairway.model.tasks.classification import Classification

class Verdict(Classification):
    name = "verdict"

    def learn(self, values, declared):
        return {"classes": ["guilty", "innocent"]}
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return the folder of an installed package with a kind and a task of its own."""
    entries = {
        "kinds": {"percent": "percent:Percent", "wrong": "percent:_plain"},
        "tasks": {"verdict": "verdict:Verdict"},
    }
    modules = {"percent": KIND, "verdict": TASK}
    return strangers.install(tmp_path, "court", version="2.1", modules=modules, groups=entries)


def test_a_model_with_a_strangers_kind_is_packaged_and_answers_requests(stranger):
    strangers.declare(stranger, {"kinds": {"percent": "percent:Percent"}})
    features = [
        {**one, "kind": "percent"} if one["name"] == "hours" else one
        for one in support.SCHEMA["features"]
    ]
    (stranger / "schema.json").write_text(json.dumps(support.SCHEMA | {"features": features}))
    support.onnx_model(stranger / "model.onnx")
    done = strangers.python(
        stranger,
        "-c",
        f"""
from pathlib import Path
from fairway.packaging import package
from fairway.serving import asking, batch, predictor, protocol
folder = Path({str(stranger)!r})
made = package.import_onnx(folder / "model.onnx", schema=folder / "schema.json", name="court", out=folder / "store")
model = predictor.Predictor.load(Path(made.path))
model.check_golden()
spelled = {{"age": [40, 40], "hours": ["20 %", 20.0], "sector": ["state"] * 2}}
(answers,) = batch.predict(model, [spelled])
one, other = answers.values["probabilities"].tolist()
sent = asking.request_body(model.sample(rows=2), features=model.features)
request = protocol.parse(sent, features=model.features, outputs=model.outputs)
print(one == other, model.predict(request.columns).shape, model.metadata(revision=None)["inputs"][1]["datatype"])
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True (2, 2) FP64"


def test_a_strangers_task_is_found_by_its_name_and_learns_in_its_own_way(stranger):
    done = strangers.python(
        stranger,
        "-c",
        """
import numpy as np
from fairway.model import tasks
from fairway.model.schema import Schema
task = tasks.named("verdict")
facts = task.learn(np.array([]), tasks.Declared(target="t"))
schema = Schema.from_json({"target": "t", "task": "verdict", "features": [], **facts})
print(tasks.of(schema) is task, task.answers(np.array([[0.2, 0.8]]), schema), tasks.listed().split()[-1])
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True ['innocent'] verdict"


def test_what_is_no_kind_is_refused_with_the_package_that_adds_it(stranger):
    done = strangers.python(stranger, "-c", "from fairway.model import kinds\nkinds.found()")
    assert "kinds wrong of court 2.1 names <function _plain" in done.stderr
    assert "wanted a subclass of fairway.model.kinds.base.Kind" in done.stderr
