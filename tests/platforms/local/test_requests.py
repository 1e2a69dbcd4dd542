import math

import pytest

from fairway import errors
from fairway.model.schema import Feature, Schema
from fairway.platforms.local import requests

PRICES = Schema(target="price", task="regression", features=(), facts={"spread": 2.0})
CLASSES = Schema(target="y", features=(), classes=("0", "1"))
TAGS = Schema(target="tags", task="multilabel", features=(), classes=("bug", "login"))


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (850_000.5, PRICES, 850_000.5),
        ("850000.5", PRICES, 850_000.5),
        ("cheap", PRICES, "cheap"),
        (1.0, CLASSES, "1"),
        ("7", CLASSES, "7"),
        (["bug"], TAGS, ["bug"]),
        ("bug;login", TAGS, "bug;login"),
    ],
)
def test_the_truth_of_a_row_has_the_form_of_an_answer(value, schema, said):
    assert requests.truth(value, schema) == said
    assert requests.truth(value, schema, separator="/") == said


@pytest.mark.parametrize(
    ("value", "sent"), [(b" red", " red"), (b"\xff", "b'\\xff'"), (math.nan, None), (True, True)]
)
def test_a_value_of_a_file_is_sent_as_json_has_it(value, sent):
    feature = Feature(name="c", kind="category", categories=("red",))
    assert requests.tensor({"c": value}, feature)["data"] == [sent]


def test_the_truth_of_a_cell_with_several_labels_is_a_list():
    assert requests.truth("login; bug", TAGS, separator=";") == ["bug", "login"]


@pytest.mark.parametrize(
    ("text", "separator", "sent"),
    [
        ("bug", None, [["bug"]]),
        ('["login", "bug"]', None, [["bug", "login"]]),
        ("[]", None, [[]]),
        ("login; bug", ";", [["bug", "login"]]),
    ],
)
def test_several_labels_of_a_row_are_sent_as_a_list_in_the_list_of_rows(text, separator, sent):
    assert requests.meant(text, TAGS, of="abc", separator=separator) == sent


@pytest.mark.parametrize(
    "text", ["bug;login", "bug;crash", '["bug"', "[" * 100_000, '["bug", null]', '[["bug"]]']
)
def test_labels_that_are_no_list_of_names_are_refused_with_an_example(text):
    with pytest.raises(
        errors.UsageError, match=r'wanted a list of some of bug, login, such as \["bug"\]'
    ):
        requests.meant(text, TAGS, of="abc")


def test_a_class_in_brackets_means_itself():
    schema = Schema(target="y", features=(), classes=("[1]", "[2]"))
    assert requests.meant("[1]", schema, of="abc") == "[1]"
    with pytest.raises(errors.UsageError, match="wanted one of the classes"):
        requests.meant("[3]", schema, of="abc")
