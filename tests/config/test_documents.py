"""YAML as people write it: words are words, keys are different ones."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairway.config import documents

WORDS = [
    "yes",
    "No",
    "NO",
    "on",
    "off",
    "y",
    "010",
    "0x1F",
    "0o17",
    "0b1",
    "1_000",
    "12:30",
    "190:20:30",
    "2024-01-01",
]
WORDS += [
    "2024-01-01 12:00:00",
    "+1",
    "1e5",
    "1.",
    ".5",
    "+.inf",
    "=",
    "00501",
    "1.5.2",
    "nan",
    "2001-99-99",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_word_whatever_older_yaml_took_it_for(word: str) -> None:
    assert documents.parse(f"classes: [{word}, b]\nvalue: {word}\n") == {
        "classes": [word, "b"],
        "value": word,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("true", True),
            ("False", False),
            ("~", None),
            ("", None),
            ("null", None),
            ("0", 0),
            ("-12", -12),
        ),
        *(("1.50", 1.5), ("-0.001", -0.001), ("1.5e+3", 1500.0), (".inf", float("inf"))),
    ],
)
def test_numbers_booleans_and_nothing_are_what_they_are(text: str, value: object) -> None:
    assert documents.parse(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: 2\na: 3\n",
        "a: {b: 1, b: 1}",
        "- {a: 1, 'a': 2}",
        "a:\n  - b: {x: [1], y: {z: 1}, x: 2}\n",
        '{"a": 1, "a": 2}',
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(
        yaml.YAMLError, match=r"the key '[abx]' stands twice in one map, again in line \d"
    ):
        documents.parse(text)


def test_the_same_key_in_two_maps_is_no_mistake() -> None:
    assert documents.parse("a: {b: a, a: b}\nb: [{a: 1}, {a: 2}]") == {
        "a": {"b": "a", "a": "b"},
        "b": [{"a": 1}, {"a": 2}],
    }


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(WORDS)
)


@given(
    st.recursive(
        PLAIN,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_written_as_yaml_is_read_as_it_was(value: object) -> None:
    assert documents.parse(yaml.safe_dump(value)) == value
