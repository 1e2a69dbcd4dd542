"""Seldon's messages, read and answered."""

import json

import numpy as np
import orjson
import pytest

from fairway.serving import protocol, seldon_message
from tests.serving import support

FEATURES = support.features(
    {"name": "age", "kind": "number"},
    {"name": "sector", "kind": "category", "categories": ["private", "state"]},
)
IMAGE = support.features({"name": "pixels", "kind": "image", "shape": [1, 2, 2]})
NUMBERS = support.features({"name": "a", "kind": "number"}, {"name": "b", "kind": "number"})


def rows(document, features=FEATURES):
    message = seldon_message.read(orjson.dumps(document), features=features)
    return protocol.parse(orjson.dumps(message.request), features=features, outputs={}).columns


@pytest.mark.parametrize(
    "document",
    [
        {"data": {"ndarray": [[39, "state"], [20, "private"]]}},
        {"data": {"names": ["sector", "age"], "ndarray": [["state", 39], ["private", 20]]}},
        {"jsonData": [{"age": 39, "sector": "state"}, {"sector": "private", "age": 20}]},
        {
            "jsonData": {
                "inputs": [
                    {"name": "age", "datatype": "INT64", "shape": [2], "data": [39, 20]},
                    {
                        "name": "sector",
                        "datatype": "BYTES",
                        "shape": [2],
                        "data": ["state", "private"],
                    },
                ]
            }
        },
    ],
    ids=["in order", "named", "rows", "open inference"],
)
def test_every_form_gives_the_same_columns(document):
    columns = rows(document)
    assert columns["age"].tolist() == [39, 20]
    assert columns["sector"].tolist() == ["state", "private"]


def test_a_tensor_is_read_row_by_row():
    columns = rows({"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}, NUMBERS)
    assert (columns["a"].tolist(), columns["b"].tolist()) == ([1, 3], [2, 4])


@pytest.mark.parametrize(
    "data",
    [
        {"ndarray": [[[[1, 2], [3, 4]]]]},
        {"ndarray": [[1, 2, 3, 4]]},
        {"tensor": {"shape": [1, 1, 2, 2], "values": [1, 2, 3, 4]}},
    ],
    ids=["nested", "flat", "tensor"],
)
def test_an_image_is_the_whole_array(data):
    assert rows({"data": data}, IMAGE)["pixels"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([1], "no JSON object"),
        ({}, "neither data nor jsonData"),
        ({"strData": "x"}, "has strData: wanted one of data and jsonData"),
        ({"data": {}, "jsonData": {}}, "has data and jsonData"),
        ({"data": [1]}, "data is no object"),
        ({"data": {"tftensor": {}}}, "neither an ndarray nor a tensor"),
        (
            {"data": {"ndarray": [[39]]}},
            "row 0 of ndarray has 1 values: wanted 2, one for each of age, sector",
        ),
        ({"data": {"ndarray": [39, "state"]}}, "row 0 of ndarray is no list"),
        ({"data": {"ndarray": []}}, "no rows"),
        ({"data": {"names": "age", "ndarray": []}}, "no list of names"),
        ({"data": {"names": ["age", "age"], "ndarray": [[1, 2]]}}, "a name twice"),
        (
            {"data": {"names": ["age", "x"], "ndarray": [[1, 2]]}},
            "'x' is none of the model's: wanted 'age', 'sector'",
        ),
        ({"data": {"names": ["age"], "ndarray": [[1]]}}, "'sector' are missing"),
        ({"data": {"tensor": {"shape": [2, 2], "values": [1]}}}, "1 values: wanted 4"),
        ({"data": {"tensor": {"shape": [2], "values": [1, 2]}}}, r"wanted \[rows, columns\]"),
        (
            {"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}}},
            "a column for each of age, sector",
        ),
        ({"jsonData": 3}, "jsonData is no row"),
        ({"jsonData": []}, "jsonData is no row"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_with_a_sentence(document, sentence):
    with pytest.raises(protocol.Invalid, match=sentence):
        rows(document)


def test_the_answer_has_the_form_of_the_question():
    probabilities = np.array([[0.25, 0.75]], dtype=np.float32)

    def answered(document):
        message = seldon_message.read(orjson.dumps(document), features=NUMBERS)
        return json.loads(
            seldon_message.answer(
                message,
                b'{"outputs":[]}',
                columns=["no", "yes"],
                raw=probabilities,
                beside={"label": ["yes"], "confidence": probabilities.max(axis=1)},
                revision="r",
                request_id="i",
            )
        )

    meta = {"puid": "i", "tags": {"revision": "r", "label": ["yes"], "confidence": [0.75]}}
    assert answered({"data": {"ndarray": [[1, 2]]}}) == {
        "data": {"names": ["no", "yes"], "ndarray": [[0.25, 0.75]]},
        "meta": meta,
    }
    tensor = {"shape": [1, 2], "values": [0.25, 0.75]}
    assert answered({"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}) == {
        "data": {"names": ["no", "yes"], "tensor": tensor},
        "meta": meta,
    }
    assert answered({"jsonData": {"a": 1, "b": 2}}) == {"jsonData": {"outputs": []}, "meta": meta}
