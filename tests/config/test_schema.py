"""The configuration's types: durations, refusals, and a line of explanation for every field."""

import json
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fairway.config import patterns, resource, sections

MILLISECONDS = st.integers(min_value=0, max_value=10 * 365 * 24 * 3600 * 1000)
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@given(MILLISECONDS)
@example(0)
@example(1)
@example(90_000)
def test_a_duration_in_whole_milliseconds_survives_being_written_and_read(milliseconds):
    duration = timedelta(milliseconds=milliseconds)
    assert sections.parse_duration(sections.format_duration(duration)) == duration


@given(st.integers(min_value=0, max_value=10_000), st.sampled_from(sorted(UNITS)))
def test_every_unit_means_what_it_says(number, unit):
    assert sections.parse_duration(f"{number}{unit}") == timedelta(
        milliseconds=number * UNITS[unit]
    )


@given(MILLISECONDS)
def test_a_written_duration_is_never_longer_than_in_milliseconds(milliseconds):
    written = sections.format_duration(timedelta(milliseconds=milliseconds))
    assert len(written) <= len(f"{milliseconds}ms")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "10",
        "m",
        "10 m",
        "-5s",
        "1w",
        "1e3s",
        "10s ",
        10,
        1.5,
        None,
        True,
        ["10s"],
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_with_examples_of_one(value):
    with pytest.raises(ValueError, match="wanted a duration such as 250ms, 30s, 10m, 6h or 2d"):
        sections.parse_duration(value)


@pytest.mark.parametrize(
    "value",
    ["10s\n", "\u0661s", "9" * 12 + "d", "9" * 400 + "s"],
    ids=["line end", "other digits", "too long", "endless"],
)
def test_a_duration_that_the_custom_resource_would_refuse_is_refused_here_too(value):
    with pytest.raises(ValueError, match="wanted a duration"):
        sections.parse_duration(value)


def models(model: type[BaseModel], path: str = "") -> dict[str, type[BaseModel]]:
    """Every section under the model, by where it is first met."""
    found = {path or model.__name__: model}
    for name, field in model.model_fields.items():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= models(part, f"{path}.{name}".lstrip("."))
    return found


SECTIONS = models(sections.Config)


@pytest.mark.parametrize("model", SECTIONS.values(), ids=SECTIONS)
def test_every_field_says_why_its_default_is_what_it_is(model):
    assert (model.__doc__ or "").strip().endswith(".")
    for name, field in model.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert is_section or field.description, f"{model.__name__}.{name} needs its line"


@pytest.mark.parametrize("model", SECTIONS.values(), ids=SECTIONS)
def test_every_section_refuses_unknown_keys_and_is_frozen(model):
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]


@pytest.mark.parametrize("model", SECTIONS.values(), ids=SECTIONS)
def test_keys_are_camel_case_in_files(model):
    for field in model.model_fields.values():
        assert field.alias is not None
        assert field.alias.isalnum()
        assert field.alias[0].islower()


def test_the_whole_configuration_has_a_json_schema_for_the_custom_resource():
    text = json.dumps(sections.Config.model_json_schema(by_alias=True))
    assert '"falseRollback"' in text
    assert "timedelta" not in text


def test_a_configuration_survives_being_dumped_and_read():
    config = sections.Config(data=sections.Data.of(source="digits"))
    assert sections.Config.model_validate(config.model_dump(mode="json", by_alias=True)) == config


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: sections.Split(method="time"), "split method time needs split.column"),
        (
            lambda: sections.Training.of(family="function"),
            "training.family function needs training.function",
        ),
        (lambda: sections.Canary(steps=()), "canary.steps is empty: wanted at least one step"),
        (
            lambda: sections.Canary(steps=({"weight": 25}, {"weight": 5})),
            r"weights are \[25, 5\]: wanted rising weights",
        ),
        (
            lambda: sections.Guard.of(name="slow", type="latency", max_rate=0.1),
            "guard slow of type latency needs a threshold",
        ),
        (
            lambda: sections.Guard.of(name="errors", type="errors"),
            "guard errors gates canary: it needs maxRate",
        ),
        (
            lambda: sections.Guard.of(name="d", type="disagreement", gates="canary"),
            "can only gate shadow",
        ),
        (
            lambda: sections.Strategy(guards=(sections.Guard.of(name="q", type="quality"),) * 2),
            "wanted different names",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_together_are_refused_with_a_sentence(build, sentence):
    with pytest.raises(ValidationError, match=sentence):
        build()


@pytest.mark.parametrize("name", ["a", "income", "a-1", "x" * 53], ids=len)
def test_a_name_may_be_a_dns_label(name):
    assert sections.Config(name=name, data=sections.Data.of(source="digits")).name == name


@pytest.mark.parametrize("name", ["", "Income", "-a", "a-", "a_b", "a.b", "x" * 54], ids=repr)
def test_a_name_that_is_no_dns_label_with_room_for_a_revision_is_refused(name):
    with pytest.raises(ValidationError):
        sections.Config(name=name, data=sections.Data.of(source="digits"))


def test_not_a_number_is_refused():
    with pytest.raises(ValidationError):
        sections.Gate(threshold=float("nan"))


def patterns_of(schema) -> set[str]:
    """Every pattern within."""
    inner = schema.values() if isinstance(schema, dict) else schema
    own = schema.get("pattern") if isinstance(schema, dict) else None
    below = [patterns_of(one) for one in inner if isinstance(one, dict | list)]
    return set().union(*below, {own} if isinstance(own, str) else ())


@pytest.mark.parametrize("root", [sections.Config, resource.Spec], ids=["file", "resource"])
def test_each_pattern_has_words_for_people(root):
    used = patterns_of(root.model_json_schema()) - {sections.DURATION.pattern}
    assert used <= set(patterns.WORDS)
    assert used
