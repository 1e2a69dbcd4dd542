"""The custom resource's definition: as committed, bounded everywhere, and of one mind with the
models."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fairway.config import resource, sections
from fairway.operator import crd, rules, status
from fairway.platforms.kubernetes import shallow
from fairway.rollout import judge, states
from tests.operator import examples, world

FILE = Path(__file__).resolve().parents[2] / "manifests" / "crds" / "modeldeployments.yaml"
NODES = dict(crd.nodes(crd.root()))
LISTS = {path: node for path, node in NODES.items() if node["type"] == "array"}
HEAVY = {
    "alibi_detect",
    "bentoml",
    "hydra",
    "kfp",
    "kopf",
    "kubernetes",
    "onnxruntime",
    "pandas",
    "sklearn",
    "torch",
}


def test_the_committed_file_is_what_the_models_say():
    assert FILE.read_text(encoding="utf-8") == crd.text(), "run `make docs` and commit the result"
    assert yaml.safe_load(crd.text()) == crd.definition()


def test_check_names_the_file_that_differs(tmp_path, capsys):
    stale = tmp_path / "stale.yaml"
    stale.write_text("old")
    assert crd.main(["--check", str(FILE)]) == 0
    assert crd.main(["--check", str(stale)]) == 1
    assert (
        capsys.readouterr().err
        == f"{stale} is not what the models say: run `make docs` and commit the result\n"
    )


def test_nothing_heavy_is_imported():
    code = "import sys, fairway.operator.crd\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert "pydantic" in loaded
    assert HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize(("path", "node"), NODES.items(), ids=[path or "root" for path in NODES])
def test_every_part_is_bounded_and_explained(path, node):
    assert node["type"] in ("object", "array", "string", "integer", "number", "boolean")
    assert node["type"] != "string" or "maxLength" in node or "enum" in node
    assert node["type"] != "array" or ("maxItems" in node and "x-kubernetes-list-type" in node)
    assert (
        node["type"] != "object" or "properties" in node or path in ("metadata", "spec.podTemplate")
    )
    assert node.get("description") or path == "metadata" or path.endswith("[]")
    assert not set(node) - set(crd.ORDER)


def test_nothing_that_is_not_described_is_taken_and_a_pod_template_is_a_pod_s():
    assert "preserve-unknown" not in crd.text()
    assert all(
        "properties" in node or path in ("spec.podTemplate", "metadata")
        for path, node in NODES.items()
        if node.get("type") == "object"
    )
    pod = crd.whole()["properties"]["spec"]["properties"]["podTemplate"]["properties"]["spec"][
        "properties"
    ]
    assert {"containers", "volumes", "tolerations", "serviceAccountName"} <= pod.keys()
    assert "ephemeralContainers" not in pod
    limits = pod["containers"]["items"]["properties"]["resources"]["properties"]["limits"]
    assert limits["additionalProperties"] == {"x-kubernetes-int-or-string": True, "nullable": True}


def test_what_the_definition_takes_is_not_nested_deeper_than_is_read():
    def deep(node: dict) -> int:
        inner = [
            *node.get("properties", {}).values(),
            *(node[word] for word in ("items", "additionalProperties") if word in node),
        ]
        return 1 + max(map(deep, inner), default=0)

    # managedFields tell each field with one level more
    assert 2 * deep(crd.whole()) < shallow.DEEPEST


def test_every_rule_is_in_its_place_and_says_a_sentence():
    found = {
        path: tuple((rule["rule"], rule["message"]) for rule in node["x-kubernetes-validations"])
        for path, node in NODES.items()
        if "x-kubernetes-validations" in node
    }
    assert found == rules.RULES
    assert all(
        len(message.split()) >= 4 and "\n" not in message
        for several in found.values()
        for _, message in several
    )


def test_lists_with_a_key_require_it_and_have_no_default():
    keyed = {path: node for path, node in LISTS.items() if node["x-kubernetes-list-type"] == "map"}
    assert keyed.keys() == crd.KEYS.keys()
    for path, node in keyed.items():
        assert node["x-kubernetes-list-map-keys"] == [crd.KEYS[path]]
        assert crd.KEYS[path] in node["items"]["required"]
        assert "default" not in node


def test_every_duration_has_a_pattern_and_a_default_to_be_seen():
    durations = [
        path for path, node in NODES.items() if node.get("pattern") == sections.DURATION.pattern
    ]
    assert "spec.strategy.bake.duration" in durations
    assert [path for path in durations if "default" not in NODES[path]] == [
        "spec.strategy.guards[].threshold",
        "spec.retraining.mostAge",
    ]


def test_the_status_has_a_word_for_every_phase_and_verdict():
    assert NODES["status.phase"]["enum"] == [str(phase) for phase in states.Phase]
    assert NODES["status.verdict"]["enum"] == [str(action) for action in judge.Action]


def test_every_column_shows_a_field():
    version = crd.definition()["spec"]["versions"][0]
    paths = {
        column["name"]: column["jsonPath"].removeprefix(".").partition("[?")[0]
        for column in version["additionalPrinterColumns"]
    }
    assert list(paths) == [
        "Revision",
        "Candidate",
        "Phase",
        "Weight",
        "Verdict",
        "Ready",
        "Drift",
        "Age",
        "Reason",
    ]
    assert all(path in NODES or path == "metadata.creationTimestamp" for path in paths.values())


# -- of one mind with the models --------------------------------------------------------------------------------------


def filled(node, value):
    """The value with defaults, as the API server puts them in: a default first, then what it holds."""
    if isinstance(value, list):
        return [filled(node["items"], item) for item in value]
    if not isinstance(value, dict) or "properties" not in node:
        return value
    for name, inner in node["properties"].items():
        if "default" in inner and value.get(name) is None:
            value[name] = copy.deepcopy(inner["default"])
    return {name: filled(node["properties"][name], inner) for name, inner in value.items()}


@pytest.mark.parametrize("change", examples.ACCEPTED.values(), ids=examples.ACCEPTED)
def test_the_defaults_are_those_of_the_models(change):
    spec = examples.changed(change)["spec"]
    read = resource.Spec.model_validate(spec)
    assert resource.Spec.model_validate(filled(NODES["spec"], spec)) == read
    expected = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    for path in crd.ELSEWHERE:
        _, section, name = path.split(".")
        expected[section].pop(name, None)
    seen = filled(NODES["spec"], spec)
    seen["strategy"]["guards"] = [own(guard) for guard in seen["strategy"]["guards"]]
    assert seen == expected


def own(guard):
    """The guard without the defaults of other types' fields, which the API server fills in and the
    models leave out."""
    fields = {
        field.alias for field in sections.GUARDS.sections[guard["type"]].model_fields.values()
    }
    foreign = {name: value for name, value in guard.items() if name not in fields}
    assert foreign == {name: NODES[f"spec.strategy.guards[].{name}"]["default"] for name in foreign}
    return {name: value for name, value in guard.items() if name in fields}


SEEN = {name: case for name, case in examples.REFUSED.items() if case.models}
UNSEEN = {name: case for name, case in examples.REFUSED.items() if not case.models}


@pytest.mark.parametrize("case", SEEN.values(), ids=SEEN)
def test_the_models_refuse_what_the_api_server_refuses(case):
    with pytest.raises(ValidationError) as refused:
        resource.Spec.model_validate(examples.changed(case.change)["spec"])
    assert case.models in str(refused.value)


@pytest.mark.parametrize("case", UNSEEN.values(), ids=UNSEEN)
def test_what_the_models_do_not_see_is_known(case):
    resource.Spec.model_validate(examples.changed(case.change)["spec"])


def test_the_conditions_that_the_definition_names_are_those_that_the_operator_writes():
    play = world.World()
    play.ask("a")
    play.look()
    written = {condition["type"] for condition in play.status["conditions"]} | {status.MONITORED}
    described = NODES["status.conditions[].type"]["description"]
    assert set(re.findall(r"[A-Z]\w+", described)) == written


def test_every_field_of_the_status_is_written_in_some_rollout():
    play, written = world.World(), set[str]()
    late = {**world.SHORT, "guards": [*world.SHORT["guards"], {"name": "late", "type": "quality"}]}
    for package in "ab":
        play.ask(package, strategy=late)
        for _ in range(30):
            written |= play.look().keys()
    play.cluster.objects["ModelDeployment", world.NAME]["metadata"]["annotations"] = {
        "fairway.dev/command": '{"verb": "retry", "id": "1", "by": "jo"}'
    }
    written |= play.look().keys() | {"monitoring"}  # which the monitor writes
    assert written == NODES["status"]["properties"].keys()
