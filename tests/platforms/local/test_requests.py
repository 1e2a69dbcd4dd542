import pytest

from fairway.model.schema import Schema
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
