"""A user's pod template in ours: what it may change, and what not."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway import errors
from fairway.platforms.kubernetes import podtemplate
from tests.platforms.kubernetes import made

OURS = made.pod()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("abc", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)
WORDS = st.sampled_from(
    [
        "metadata",
        "spec",
        "labels",
        "annotations",
        "containers",
        "initContainers",
        "volumes",
        "volumeMounts",
        "env",
        "name",
        "mountPath",
        "server",
        "fetch",
        "image",
        "args",
        "fairway.dev/revision",
        "FAIRWAY_SERVING",
        "tolerations",
        "a",
    ]
)
TEMPLATES = st.dictionaries(
    WORDS,
    st.recursive(
        st.none() | WORDS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=2,
)


def container(name: str = "server", **values: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, **values}]}}


def server(template: dict[str, Any]) -> dict[str, Any]:
    return next(c for c in template["spec"]["containers"] if c["name"] == "server")


def test_an_empty_template_changes_nothing() -> None:
    assert podtemplate.merge(OURS, {}) == OURS


def test_a_gpu_takes_its_place_beside_our_requests() -> None:
    merged = server(
        podtemplate.merge(
            OURS, container(resources={"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": 1}})
        )
    )
    assert merged["resources"] == {
        "requests": {"cpu": "2", "memory": "512Mi"},
        "limits": {"memory": "1Gi", "nvidia.com/gpu": 1},
    }
    assert merged["image"] == server(OURS)["image"]


def test_null_takes_a_key_away() -> None:
    assert (
        server(podtemplate.merge(OURS, container(resources={"limits": {"memory": None}})))[
            "resources"
        ]["limits"]
        == {}
    )


def test_environment_is_merged_by_name_and_a_variable_has_one_source() -> None:
    secret = {"name": "HOME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    env = server(podtemplate.merge(OURS, container(env=[secret, {"name": "NEW", "value": "1"}])))[
        "env"
    ]
    assert [e for e in env if e["name"] == "HOME"] == [secret]
    assert env[-1] == {"name": "NEW", "value": "1"}


def test_credentials_reach_the_init_step() -> None:
    key = {
        "name": "FAIRWAY_FETCH_AUTHORIZATION",
        "valueFrom": {"secretKeyRef": {"name": "store", "key": "header"}},
    }
    merged = podtemplate.merge(
        OURS,
        {
            "spec": {
                "serviceAccountName": "reader",
                "initContainers": [{"name": "fetch", "env": [key]}],
            }
        },
    )
    assert key in merged["spec"]["initContainers"][0]["env"]
    assert merged["spec"]["serviceAccountName"] == "reader"


def test_a_sidecar_a_volume_and_a_toleration_are_added() -> None:
    merged = podtemplate.merge(
        OURS,
        {
            "spec": {
                "containers": [{"name": "agent", "image": "agent:1"}],
                "volumes": [{"name": "cache", "emptyDir": {}}],
                "tolerations": [{"key": "gpu"}],
            }
        },
    )
    assert [c["name"] for c in merged["spec"]["containers"]] == ["server", "agent"]
    assert [v["name"] for v in merged["spec"]["volumes"]] == [
        "model",
        "tmp",
        "spool",
        "mapped",
        "collector-token",
        "cache",
    ]
    assert merged["spec"]["tolerations"] == [{"key": "gpu"}]


def test_a_volume_of_ours_is_replaced_as_a_whole() -> None:
    claim = {"name": "spool", "persistentVolumeClaim": {"claimName": "spool"}}
    assert claim in podtemplate.merge(OURS, {"spec": {"volumes": [claim]}})["spec"]["volumes"]


def test_security_may_be_changed_by_who_has_to() -> None:
    merged = podtemplate.merge(OURS, {"spec": {"securityContext": {"runAsUser": 1000}}})
    assert merged["spec"]["securityContext"] == OURS["spec"]["securityContext"] | {
        "runAsUser": 1000
    }


REFUSED = {
    "our label": (
        {"metadata": {"labels": {"app.kubernetes.io/name": "mine"}}},
        "podTemplate.metadata.labels[app.kubernetes.io/name]",
    ),
    "selector label": (
        {"metadata": {"labels": {"fairway.dev/revision": "x"}}},
        "podTemplate.metadata.labels[fairway.dev/revision]",
    ),
    "label taken away": (
        {"metadata": {"labels": {"fairway.dev/deployment": None}}},
        "podTemplate.metadata.labels[fairway.dev/deployment]",
    ),
    "all labels taken away": (
        {"metadata": None},
        "podTemplate.metadata.labels[app.kubernetes.io/name]",
    ),
    "new label of our group": (
        {"metadata": {"labels": {"fairway.dev/x": "y"}}},
        "podTemplate.metadata.labels[fairway.dev/x]",
    ),
    "image": (container(image="mine:1"), "podTemplate.spec.containers[server].image"),
    "command": (container(command=["sh"]), "podTemplate.spec.containers[server].command"),
    "arguments": (container(args=["x"]), "podTemplate.spec.containers[server].args"),
    "our variable": (
        container(env=[{"name": "FAIRWAY_REVISION", "value": "x"}]),
        "podTemplate.spec.containers[server].env[FAIRWAY_REVISION]",
    ),
    "the package's place": (
        container(volumeMounts=[{"mountPath": "/models", "name": "other"}]),
        "podTemplate.spec.containers[server].volumeMounts[/models]",
    ),
    "no servers": ({"spec": {"containers": None}}, "podTemplate.spec.containers[server].image"),
    "no part of it": ({"replicas": 3}, "podTemplate.replicas"),
    "no list": ({"spec": {"containers": {}}}, "podTemplate.spec.containers is {}: wanted a list"),
    "no map": (
        {"spec": {"securityContext": 3}},
        "podTemplate.spec.securityContext is 3: wanted a map",
    ),
    "no name": (
        {"spec": {"containers": [{"image": "x"}]}},
        "podTemplate.spec.containers has {'image': 'x'}: wanted maps with a name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_fairways_own_is_refused_by_name(case: str) -> None:
    change, words = REFUSED[case]
    with pytest.raises(errors.ConfigError) as caught:
        podtemplate.merge(OURS, change)
    assert words in str(caught.value)


def _walked(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(deeper for key, inner in items for deeper in _walked(inner, (*path, key)))]


@given(place=st.sampled_from(_walked(OURS)), value=JSON)
def test_whatever_is_written_where_ours_stays_or_is_refused(
    place: tuple[Any, ...], value: Any
) -> None:
    change: Any = copy.deepcopy(OURS)
    if not place:
        change = value if isinstance(value, dict) else {}
    else:
        inner = change
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    _ours_stays(change)


@given(change=TEMPLATES)
def test_whatever_is_written_ours_stays_or_is_refused(change: dict[str, Any]) -> None:
    _ours_stays(change)


def _ours_stays(change: dict[str, Any]) -> None:
    try:
        merged = podtemplate.merge(OURS, change)
    except errors.ConfigError:
        return
    assert merged["metadata"]["labels"].items() >= OURS["metadata"]["labels"].items()
    assert {key: server(merged)[key] for key in ("image", "command")} == {
        key: server(OURS)[key] for key in ("image", "command")
    }
    assert [e for e in server(merged)["env"] if e["name"].startswith("FAIRWAY_R")] == [
        {"name": "FAIRWAY_REVISION", "value": "0123456789ab"}
    ]
