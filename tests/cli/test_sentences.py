"""A user's mistake at the command line: one sentence on stderr, the documented exit status, nothing
half-written."""

import json
from pathlib import Path

import pytest

from fairway import cli
from tests.cli.running import FEW, assert_one_sentence, fairway, one_object

ADULT = Path(__file__).parents[2].parent / "shared" / "data" / "adult.data"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(verb: str, tmp_path: Path) -> None:
    done = fairway(verb, "--help", where=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: fairway " + verb)
    assert list(tmp_path.iterdir()) == []


MISTAKES = {
    "unknown verb": (("dploy",), 2, "did you mean 'deploy'"),
    "no configuration": (("prepare",), 2, "fairway.yaml does not exist"),
    "unknown key": (
        ("prepare", "-c", "few.yaml", "--set", "training.epoch=3"),
        2,
        "training.epoch",
    ),
    "wrong type": (
        ("prepare", "-c", "few.yaml", "--set", "training.epochs=many"),
        2,
        "training.epochs is 'many'",
    ),
    "no assignment": (
        ("prepare", "-c", "few.yaml", "--set", "training"),
        2,
        "wanted key.path=value",
    ),
    "impossible value": (
        ("prepare", "-c", "few.yaml", "--set", "strategy.bake.weight=80"),
        2,
        "strategy.bake.weight is 80",
    ),
    "missing data": (
        ("prepare", "-c", "few.yaml", "--set", "data.path=nowhere.csv"),
        2,
        "nowhere.csv",
    ),
    "wrong target": (("prepare", "-c", "few.yaml", "--set", "data.target=incom"), 1, "incom"),
    "one class": (("prepare", "-c", "few.yaml", "--set", "data.path=one.csv"), 1, "only 'low'"),
    "empty data": (("init", "empty.csv", "--target", "income"), 1, "empty.csv is empty"),
    "missing file": (("init", "nowhere.csv", "--target", "income"), 2, "nowhere.csv"),
    "out of order": (("evaluate", "-c", "few.yaml"), 2, "fairway train"),
    "nothing runs": (("predict", "-c", "few.yaml"), 2, "fairway up"),
    "no package": (("deploy", "-c", "few.yaml"), 2, "there is no package"),
    "not a package": (("serve", "few.csv"), 1, "few.csv"),
    "no such deployment": (("rollout", "status", "-c", "few.yaml"), 2, "there is no deployment"),
    "bad name": (
        ("init", "few.csv", "--target", "income", "--name", "Bad Name!"),
        2,
        "such as bad-name",
    ),
    "bad name of a package": (
        ("package", "few.csv", "--schema", "few.yaml", "--name", "-"),
        2,
        "such as model",
    ),
    "key that stands twice": (
        ("prepare", "-c", "few.yaml", "--set", "data={path: a, path: b}"),
        2,
        "--set data",
    ),
    "half a label": (("label", "abc", "-c", "few.yaml"), 2, "REQUEST_ID and LABEL"),
    "champion that is no package": (
        ("run", "training", "-c", "few.yaml", "--champion", "nowhere"),
        2,
        "--champion nowhere has no manifest.json: wanted the folder of a package",
    ),
    "no such pipeline": (("check", "pipeline", "no.yaml"), 2, "no.yaml is not there: wanted what"),
    "not a pipeline": (
        ("check", "pipeline", "few.csv"),
        2,
        "few.csv is no compiled pipeline: wanted the YAML",
    ),
    "another YAML": (
        ("check", "pipeline", "few.yaml"),
        2,
        "few.yaml is no compiled pipeline: wanted the YAML",
    ),
    "a pipeline with a list of tasks": (
        ("check", "pipeline", "listed.yaml"),
        2,
        "listed.yaml is no compiled pipeline: wanted the YAML",
    ),
    "no quantity": (
        ("check", "pipeline", "-c", "few.yaml", "--set", "pipeline.train.cpu=lots"),
        2,
        "pipeline.train.cpu is 'lots'",
    ),
    "pipeline is a folder": (("check", "pipeline", "."), 2, ". cannot be read (Is a directory)"),
    "home is a file": (("prepare", "-c", "few.yaml", "--home", "few.csv"), 2, "few.csv"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_sentence_and_its_exit_status(name: str, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text(FEW)
    (tmp_path / "one.csv").write_text("age,sector,income\n" + "30,state,low\n" * 30)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "few.yaml").write_text(
        "name: few\ndata: {source: csv, path: few.csv, target: income}\n"
    )
    (tmp_path / "listed.yaml").write_text(
        "{root: {dag: {tasks: []}}, deploymentSpec: {executors: {}}, components: {}}"
    )
    arguments, status, words = MISTAKES[name]
    assert_one_sentence(fairway(*arguments, where=tmp_path), status=status, words=words)
    assert not list(tmp_path.glob("**/dataset.json"))


@pytest.mark.parametrize("verb", ["deploy", "predict", "monitor", "package"])
def test_a_verb_without_its_configuration_leaves_no_home_behind(verb: str, tmp_path: Path) -> None:
    assert_one_sentence(
        fairway(verb, where=tmp_path), status=2, words="fairway.yaml does not exist"
    )
    assert list(tmp_path.iterdir()) == []


def test_check_fails_where_something_would_and_says_so_in_one_object(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text(
        "name: few\ndata: {source: csv, path: nowhere.csv, target: income}\n"
    )
    done = fairway("check", "-c", "few.yaml", "--output", "json", where=tmp_path)
    assert_one_sentence(done, status=1, words="something would fail")
    found = one_object(done)
    assert found["sound"] is False
    assert [finding["subject"] for finding in found["findings"] if finding["level"] == "error"] == [
        "data"
    ]


@pytest.mark.parametrize(
    ("changes", "subject", "words"),
    [
        ("target: incom", "data", "did you mean 'income'"),
        ("target: age, task: classification", "data", "looks like a quantity"),
        (
            "ignore: [secto]",
            "data",
            "data.ignore names 'secto', which is no column; did you mean 'sector'",
        ),
        ("split: {method: group, column: user}", "data", "data.split.column is 'user'"),
        ("target: income}\ntraining: {family: convolutional", "training", "needs an image feature"),
        (
            "target: income}\ntraining: {family: function, function: 'nowhere:fit'",
            "training",
            "there is no module",
        ),
        (
            "target: income}\nserving: {events: {redact: [age, sectr]}",
            "serving",
            "serving.events.redact names 'sectr', which is no feature of this model: wanted 'sector'",
        ),
    ],
    ids=["target", "quantity", "ignored", "split", "family", "function", "redacted"],
)
def test_check_fails_for_what_prepare_or_train_would_refuse(
    changes: str, subject: str, words: str, tmp_path: Path
) -> None:
    ages = "".join(f"{number},state,{'high' if number % 3 else 'low'}\n" for number in range(200))
    (tmp_path / "few.csv").write_text("age,sector,income\n" + ages)
    target = "" if "target" in changes else "target: income, "
    (tmp_path / "few.yaml").write_text(f"name: few\ndata: {{path: few.csv, {target}{changes}}}\n")
    done = fairway("check", "-c", "few.yaml", "--output", "json", where=tmp_path)
    assert done.returncode == 1
    found = [
        (one["subject"], one["sentence"])
        for one in one_object(done)["findings"]
        if one["level"] == "error"
    ]
    assert [(found[0][0], words in found[0][1])] == [(subject, True)]
    assert "is complete" not in done.stdout


def test_check_tells_of_rows_without_a_target_and_of_columns_that_tell_it(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text(FEW + "30,state,\n" * 5)
    (tmp_path / "few.yaml").write_text("name: few\ndata: {path: few.csv, target: income}\n")
    done = fairway("check", "-c", "few.yaml", where=tmp_path)
    assert done.returncode == 0
    assert "few.yaml is complete" in done.stdout
    assert "5 of 205 rows have no income and were left out" in done.stdout


def test_init_writes_a_configuration_that_prepare_takes_and_does_not_overwrite_it(
    tmp_path: Path,
) -> None:
    done = fairway("init", str(ADULT), "--target", "income", where=tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "fairway.yaml").read_text()
    assert "income" in written
    again = fairway("init", str(ADULT), "--target", "income", where=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert (tmp_path / "fairway.yaml").read_text() == written
    prepared = fairway("prepare", "--output", "json", where=tmp_path)
    assert one_object(prepared)["classes"] == ["<=50K", ">50K"]


def test_init_prints_its_findings_for_programs(tmp_path: Path) -> None:
    done = fairway("init", str(ADULT), "--target", "income", "--output", "json", where=tmp_path)
    found = json.loads(done.stdout)
    assert (found["task"], found["target"], found["wrote"]) == (
        "classification",
        "income",
        "fairway.yaml",
    )
    assert {"name", "use", "found", "why"} <= set(found["columns"][0])
