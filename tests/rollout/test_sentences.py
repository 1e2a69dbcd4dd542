"""A sentence is written once and never read by code: no module searches in a reason or an answer,
or takes one apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "fairway"
SENTENCES = frozenset(
    {"reason", "answer", "sentence", "message", "why", "condemned", "guarantee", "note"}
)
SEARCHES = frozenset(
    {"startswith", "endswith", "find", "rfind", "index", "rindex", "removeprefix", "removesuffix"}
    | {"partition", "rpartition", "split", "rsplit"}
)
PATTERNS = frozenset({"search", "match", "fullmatch", "findall", "finditer", "sub", "split"})
ALLOWED = {
    (
        "operator/routes.py",
        "message",
    ): "the gateway names the routes that overlap in its condition's message only",
}


def name_of(node: ast.expr) -> str:
    """Return the last word of what an expression names: of `state.verdict.reason` it is reason, of
    `row["reason"]` too."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Attribute(value=inner, attr="lower" | "strip")):
            return name_of(inner)
    return ""


def searched(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the lines that look for text in a sentence or cut one, each with the sentence's name."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[where]) if (
                is_text(left)
            ):
                yield node.lineno, name_of(where)
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]) if (
                is_words(right)
            ):
                yield node.lineno, name_of(left)
            case ast.Call(func=ast.Attribute(value=where, attr=method), args=[_, *_]) if (
                method in SEARCHES
            ):
                yield node.lineno, name_of(where)
            case ast.Call(func=ast.Attribute(attr=method), args=[*texts]) if method in PATTERNS:
                yield from ((node.lineno, name_of(text)) for text in texts)
            case ast.Match(subject=subject, cases=cases):
                words = [
                    case
                    for case in cases
                    if isinstance(case.pattern, ast.MatchValue) and is_words(case.pattern.value)
                ]
                yield from [(node.lineno, name_of(subject))] if words else []


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def is_words(node: ast.expr) -> bool:
    """Say whether a constant is a sentence or a part of one: a single word is a value, such as a
    condition's reason."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


@pytest.mark.parametrize(
    "path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC))
)
def test_no_module_reads_a_sentence(path: Path) -> None:
    where = str(path.relative_to(SRC))
    found = [
        f"{where}:{line} looks into {name}"
        for line, name in searched(ast.parse(path.read_text(encoding="utf-8")))
        if name in SENTENCES and (where, name) not in ALLOWED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        'state.reason.partition(" (waiting")',
        'if "changes nothing" in answer: pass',
        'after.reason.startswith("aborted by ")',
        're.sub(r"[0-9]+", "", shown["reason"])',
        'known = message.lower() == "it is gone"',
        'match state.reason:\n    case "it is gone": pass',
    ],
)
def test_the_check_finds_a_line_that_does(line: str) -> None:
    assert [name for _, name in searched(ast.parse(line)) if name in SENTENCES]
