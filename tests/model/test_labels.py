"""Labels as people and programs write them, read as the target was."""

import pytest

from fairway.model import labels


@pytest.mark.parametrize(
    ("text", "classes", "meant"),
    [
        ("1", ("0", "1"), "1"),
        ("1.0", ("0", "1"), "1"),
        (" 1", ("0", "1"), "1"),
        ("-2.00", ("-2", "2"), "-2"),
        ("banana", ("0", "1"), None),
        ("01", ("0", "1"), None),
        ("00501", ("00501", "501"), "00501"),
        ("501", ("00501", "00502"), None),
        ("9007199254740993", ("9007199254740992", "9007199254740993"), "9007199254740993"),
        ("9007199254740993.0", ("9007199254740992", "9007199254740994"), None),
        ("0.50", ("0.25", "0.5"), "0.5"),
        ("true", ("False", "True"), "True"),
        ("FALSE", ("false", "true"), "false"),
        ("true", ("0", "1"), None),
        ("Cat", ("cat", "dog"), None),
        ("cat ", ("cat", "dog"), "cat"),
        ("1.0", ("1.0", "1"), "1.0"),
        ("1.00", ("1.0", "1"), None),
        ("", ("", "a"), ""),
        ("nan", ("0", "1"), None),
        ("1e0", ("0", "1"), None),
        ("1.10", ("1.1", "1.10"), "1.10"),
    ],
)
def test_a_label_is_the_class_that_it_means_or_none(
    text: str, classes: tuple[str, ...], meant: str | None
) -> None:
    assert labels.read(text, classes) == meant


@pytest.mark.parametrize(
    ("value", "word"),
    [
        *((1, "1"), (1.0, "1"), (0.5, "0.5"), (True, "True"), (" a ", "a")),
        *(("", None), (None, None), ([1], None), (float("nan"), None)),
    ],
)
def test_a_value_of_json_names_a_class_as_a_column_of_it_would(
    value: object, word: str | None
) -> None:
    assert labels.word(value) == word


def test_without_the_classes_only_what_no_class_can_be_meant_by_besides_is_the_same() -> None:
    assert labels.alike("1.0", "1")
    assert not labels.alike("1.10", "1.1")
    assert not labels.alike("0.50", "0.5")
