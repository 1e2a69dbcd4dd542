"""A file of classes and their parents."""

import json

import pytest

from fairway import errors
from fairway.cli import init
from fairway.data import parents

KNOWN = {"cat": "mammal", "dog": "mammal", "pike": "fish"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "child,parent\ncat,mammal\ndog,mammal\npike,fish\n"),
        ("a.csv", "\ufeffParent;Child;note\nmammal; cat ;x\nmammal;dog;\nfish;pike;\n"),
        ("a.yaml", "cat: mammal\ndog: mammal\npike: fish\n"),
        ("a.json", json.dumps(KNOWN)),
    ],
)
def test_csv_yaml_and_json_say_the_same(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert parents.read(tmp_path / name) == KNOWN


def test_words_that_yaml_takes_for_something_else_stay_words(tmp_path):
    (tmp_path / "a.yaml").write_text("NO: Europe\n1: odd\n")
    assert parents.read(tmp_path / "a.yaml") == {"NO": "Europe", "1": "odd"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "child,parent\ncat,mammal\ncat,fish\n", "gives 'cat' two parents, 'mammal' and"),
        ("a.csv", "child,parent\ncat,\n", "line 2 has the child 'cat' and the parent ''"),
        ("a.csv", "one,two\ncat,mammal\n", "has no column 'child': wanted CSV"),
        ("a.csv", "child,parent\n", "has no class: wanted CSV"),
        ("a.yaml", "- cat\n", r"holds \['cat'\]: wanted CSV"),
        ("a.yaml", "cat: [a]\n", r"'cat' has the parent \['a'\]: wanted two names"),
        ("a.yaml", "cat: a\ncat: b\n", "the key 'cat' stands twice"),
        ("a.json", "{", "cannot be read"),
    ],
)
def test_what_says_no_parents_is_refused_in_a_sentence(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.UsageError, match=said):
        parents.read(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.UsageError, match=r"--parents .*a\.csv: No such file"):
        parents.read(tmp_path / "a.csv")


def test_an_option_goes_before_the_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(KNOWN))
    assert init._parents(("pike=animal",), file=tmp_path / "a.json") == KNOWN | {"pike": "animal"}
