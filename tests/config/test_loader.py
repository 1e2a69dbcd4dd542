"""Reading `fairway.yaml`: what wins over what, and the sentence for what is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fairway import errors
from fairway.config import loader, sections

DIGITS = "defaults: {data: digits}\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "fairway.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(*arguments, **keywords) -> str:
    with pytest.raises(errors.ConfigError) as caught:
        loader.load(*arguments, **keywords)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.exit_status == 2
    return sentence


# -- precedence ------------------------------------------------------------------------------------


def test_a_group_wins_over_the_schema(write):
    config = loader.load(write("defaults: {data: digits, training: convolutional}"))
    assert (config.training.family, config.data.source) == ("convolutional", "digits")
    assert config.data.target == "digit"


def test_the_file_wins_over_its_groups(write):
    config = loader.load(
        write("defaults: {data: digits, training: tabular}\ntraining: {batchSize: 7}")
    )
    assert config.training.batch_size == 7
    assert config.training.hidden == (128, 64)


def test_the_environment_wins_over_the_groups_and_loses_to_the_file(write):
    assert loader.load(write(DIGITS), environment="production").pipeline.train.gpu == 1
    path = write(DIGITS + "environment: production\npipeline: {train: {gpu: 4}}")
    assert loader.load(path).pipeline.train.gpu == 4
    assert loader.load(path).platform.kind == "kubernetes"


def test_an_override_wins_over_the_file_and_the_last_one_wins(write):
    path = write(DIGITS + "training: {epochs: 5}")
    config = loader.load(path, overrides=["training.epochs=6", "training.epochs=7"])
    assert config.training.epochs == 7


def test_an_override_chooses_the_environments_group_too(write):
    config = loader.load(write(DIGITS), overrides=["environment=kind"])
    assert (config.environment, config.platform.kind) == ("kind", "kubernetes")


def test_an_override_may_hold_a_list_a_duration_or_a_map(write):
    config = loader.load(
        write(DIGITS),
        overrides=[
            "training.hidden=[8, 4]",
            "strategy.warmup=250ms",
            "strategy.canary.steps=[{weight: 10}, {weight: 50}]",
            "name=digits",
        ],
    )
    assert config.training.hidden == (8, 4)
    assert config.strategy.warmup == timedelta(milliseconds=250)
    assert [step.weight for step in config.strategy.canary.steps] == [10, 50]
    assert config.name == "digits"


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_override_wins_whatever_the_file_says(write, in_file, overridden):
    config = loader.load(
        write(f"{DIGITS}training: {{epochs: {in_file}}}"),
        overrides=[f"training.epochs={overridden}"],
    )
    assert config.training.epochs == overridden


def test_loading_twice_gives_the_same_configuration(write):
    path = write(DIGITS)
    assert loader.load(path) == loader.load(path)


def test_a_configuration_with_every_key_written_out_loads_as_itself(write):
    config = loader.load(
        write(
            "defaults: {data: digits, training: convolutional}\nstrategy: {canary: {budget: 90m}}"
        )
    )
    whole = yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)
    assert loader.load(write(whole)) == config


@pytest.mark.parametrize("environment", loader.ENVIRONMENTS)
@pytest.mark.parametrize("training", ["tabular", "convolutional"])
def test_every_group_composes(write, environment, training):
    config = loader.load(
        write(f"defaults: {{data: digits, training: {training}}}"), environment=environment
    )
    assert (config.environment, config.training.family) == (environment, training)


# -- paths -----------------------------------------------------------------------------------------


def test_relative_paths_are_taken_from_the_files_folder(write, tmp_path, monkeypatch):
    path = write("data: {source: csv, path: rows/adult.csv, extra: [new.parquet]}")
    monkeypatch.chdir("/")
    config = loader.load(path)
    assert config.data.path == tmp_path / "rows" / "adult.csv"
    assert config.data.extra == (tmp_path / "new.parquet",)


def test_absolute_paths_stay(write):
    assert loader.load(write("data: {path: /rows/adult.csv}")).data.path == Path("/rows/adult.csv")


# -- sentences -------------------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_its_path_and_the_page(write):
    sentence = refusal(write(DIGITS + "training: {epoch: 5}"))
    assert "training.epoch is no key that fairway knows: did you mean training.epochs?" in sentence


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("trainig: {epochs: 5}", "trainig is no key that fairway knows: did you mean training?"),
        ("data: {split: {tst: 0.2}}", "did you mean data.split.test?"),
        ("data: {source: csv, path: a.csv, pth: b.csv}", "did you mean data.path?"),
        ("training: {batch_sizes: 5}", "did you mean training.batchSize?"),
        ("epochs: 5", "did you mean training.epochs?"),
        (
            "strategy: {guards: [{name: a, type: errors, maxrates: 0.1}]}",
            "did you mean strategy.guards.0.maxRate?",
        ),
        ("strategy: {canary: {stpes: []}}", "did you mean strategy.canary.steps?"),
        (
            "training: {qqq: 5}",
            "training.qqq is no key that fairway knows; see docs/configuration.md for the keys",
        ),
    ],
    ids=[
        "section",
        "two deep",
        "of the source",
        "other spelling",
        "other section",
        "in a list",
        "swapped",
        "like nothing",
    ],
)
def test_a_key_written_nearly_right_gets_the_one_that_was_meant(write, text, meant):
    assert meant in refusal(write(f"defaults: {{data: digits}}\n{text}"))


WRITTEN = st.text(st.sampled_from("${}\\abc.:?"), max_size=8) | st.sampled_from(
    ["${x}", "${data.path}", "???", "\\${a}"]
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(WRITTEN, WRITTEN)
def test_a_name_is_what_is_written_and_never_another_keys_value(write, target, column):
    path = write(
        yaml.safe_dump({"data": {"source": "digits", "target": target, "ignore": [column]}})
    )
    config = loader.load(path, overrides=["licence=" + yaml.safe_dump(column)])
    assert (config.data.target, config.data.ignore, config.licence) == (target, (column,), column)


@pytest.mark.parametrize("text", ["name: a\nname: b", "data: {target: a, target: b}"])
def test_a_key_that_stands_twice_is_refused(write, text):
    assert "stands twice in one map" in refusal(write(text))


def test_words_of_older_yaml_are_words_and_switches_can_still_be_written_with_them(write):
    path = write(
        "data: {source: digits, target: no, ignore: [010, yes, 12:30]}\nstrategy: {shadow: {enabled: off}}"
    )
    config = loader.load(path, overrides=["licence=NO"])
    assert (config.data.target, config.data.ignore) == ("no", ("010", "yes", "12:30"))
    assert (config.strategy.shadow.enabled, config.licence) == (False, "NO")


SECTIONS = [
    name
    for name, field in sections.Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
]


@pytest.mark.parametrize("section", SECTIONS)
def test_no_section_takes_an_unknown_key(write, section):
    assert f"{section}.surprise is no key" in refusal(
        write(DIGITS + yaml.safe_dump({section: {"surprise": 1}}))
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("training: {epochs: many}", ["training.epochs is 'many'", "valid integer"]),
        ("training: {epochs: 0}", ["training.epochs is 0", "greater than or equal to 1"]),
        ("strategy: {warmup: 5}", ["strategy.warmup is 5", "wanted a duration such as 250ms"]),
        (
            "strategy: {canary: {steps: [{weight: 50}, {weight: 5}]}}",
            ["weights are [50, 5]", "wanted rising weights"],
        ),
        ("data: {split: {test: 0.9}}", ["data.split.test is 0.9", "less than 0.5"]),
        ("name: Über", ["name is 'Über'", "digits and hyphens", "such as credit-risk"]),
        (
            "pipeline: {workspace: 's3://bucket/'}",
            ["pipeline.workspace is 's3://bucket/'", "without a / at its end, such as s3://"],
        ),
        (
            "platform: {store: models}",
            ["platform.store is 'models'", "wanted an address without spaces: s3://bucket/prefix"],
        ),
        (
            "platform: {store: 'https://user:hush@models.example.com'}",
            ["platform.store is 'https://...@models.example.com'", "wanted no credentials"],
        ),
    ],
    ids=[
        "text for a number",
        "below the bound",
        "duration without unit",
        "falling weights",
        "split too large",
        "name",
        "workspace",
        "store",
        "password in an address",
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_wanted(write, text, parts):
    sentence = refusal(write(DIGITS + text))
    assert "fairway.yaml" in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (["retraining.coolDown=40d"], "mostCoolDown 28d is shorter than coolDown 40d"),
        (["retraining.mostCoolDown=1h"], "mostCoolDown 1h is shorter than coolDown 6h"),
        (["retraining.refresh=1h"], "refresh 1h is shorter than coolDown 6h"),
        (["serving.events.redact=[a]", "data.ignore=[a]"], "redact names 'a', which data.ignore"),
        (["serving.events.redact=[a, b]", "data.features=[a]"], "redact names 'b'"),
    ],
    ids=["cool-down", "most", "refresh", "ignored", "no feature"],
)
def test_keys_that_contradict_each_other_are_refused(said, sentence):
    assert sentence in refusal(None, overrides=["data.source=digits", *said])


def test_many_mistakes_show_the_first_three_and_count_the_rest(write):
    sentence = refusal(write(DIGITS + "training: {a: 1, b: 1, c: 1, d: 1, e: 1}"))
    assert sentence.endswith("; and 2 more")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("training: [", "is not YAML"),
        ("- a list", "holds a list: wanted a map"),
        ("just text", "holds a str: wanted a map"),
        ("defaults: training", "defaults in"),
        ("defaults: {training: transformer}", "The groups are data: csv, digits"),
        ("defaults: {colour: red}", "The groups are"),
        ("environment: staging", "environment is 'staging': wanted one of local, kind, production"),
        ("name: ${nowhere}", "nowhere"),
    ],
    ids=[
        "broken",
        "list",
        "text",
        "defaults is text",
        "no such choice",
        "no such group",
        "no such environment",
        "interpolation",
    ],
)
def test_a_file_that_cannot_be_composed_gets_one_sentence(write, text, part):
    assert part in refusal(write(text))


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    assert "fairway init DATA --target COLUMN" in refusal(tmp_path / "fairway.yaml")


def test_bytes_that_are_no_text_are_said_to_be_no_yaml(tmp_path):
    path = tmp_path / "fairway.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is not YAML" in refusal(path)


@pytest.mark.parametrize(
    "override", ["training.epochs", "=5", " =5", "training.epochs=[", ""], ids=repr
)
def test_a_malformed_override_is_quoted(write, override):
    assert "--set" in refusal(write(DIGITS), overrides=[override])


def test_an_override_of_an_unknown_key_is_refused(write):
    assert "training.nonsense is no key" in refusal(
        write(DIGITS), overrides=["training.nonsense=1"]
    )


def test_the_defaults_alone_ask_for_data():
    assert "the defaults" in refusal(None)


LINES = st.text(
    st.characters(min_codepoint=32, blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8
)
INNER_KEYS = LINES | st.sampled_from(["steps", "weight", "name"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | LINES | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER_KEYS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "defaults",
        "environment",
        "name",
        *SECTIONS,
        "data.path",
        "data.split.test",
        "training.hidden",
        "strategy.warmup",
        "strategy.canary.steps",
        "strategy.guards",
        "strategy.guards.0",
        "pipeline.train.cpu",
        "name.deeper",
    ]
)


def answer(path: Path, **keywords) -> sections.Config | str:
    """The configuration, or the one sentence that says what is wrong."""
    try:
        return loader.load(path, **keywords)
    except errors.ConfigError as error:
        return str(error)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(KEYS, ANYTHING)
def test_whatever_a_key_holds_the_answer_is_a_configuration_or_one_sentence(write, key, value):
    plain: dict = {"defaults": {"data": "digits"}}
    place = plain
    *folders, last = key.split(".")
    for folder in folders:
        place = place.setdefault(folder, {})
    place[last] = value
    got = answer(write(yaml.safe_dump(plain)))
    assert isinstance(got, sections.Config) or "\n" not in got


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(KEYS | LINES, LINES | ANYTHING.map(yaml.safe_dump))
@example("[", "")
def test_whatever_an_override_says_the_answer_is_a_configuration_or_one_sentence(write, key, value):
    got = answer(write(DIGITS), overrides=[f"{key}={value}"])
    assert isinstance(got, sections.Config) or "\n" not in got
