"""No object that an API server stores ends the reading of the others."""

import json

import pytest

from fairway.platforms.kubernetes import shallow


def nested(depth: int) -> str:
    return '{"a": [' * (depth // 2) + "1" + "]}" * (depth // 2)


@pytest.mark.parametrize("depth", [200, 900, 1500, 9000])
def test_what_is_nested_too_deep_is_cut_and_all_else_stays(depth):
    beside = {"name": 'a "quoted" [{ \\ name', "list": [{"b": [1, "]"]}] * 50}
    deep = f'"deep": {nested(depth)}'
    content = f'{{"items": [{{{deep}, "after": 1}}, {json.dumps(beside)}, {{{deep}}}]}}'.encode()
    first, second, third = json.loads(shallow.cut(content))["items"]
    assert (first["after"], second) == (1, beside)
    assert shallow._depth(json.dumps([first, third]).encode()) <= shallow.DEEPEST
    assert b"null" in shallow.cut(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON [",
        b'{"a": 1}',
        nested(60).encode(),
        b"[" * 100,
        b'{"unclosed": "' + b"[" * 100,
    ],
    ids=["nothing", "no JSON", "small", "deep enough", "never closed", "a text that never ends"],
)
def test_what_needs_no_cut_is_returned_as_it_came(content):
    assert shallow.cut(content) == content


def test_many_objects_of_a_usual_depth_are_not_touched():
    content = json.dumps({"items": [{"a": {"b": [{"c": "}" * 10}]}}] * 500}).encode()
    assert shallow.cut(content) is content
