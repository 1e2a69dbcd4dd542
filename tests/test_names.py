"""No module and no class stands for two different things: each exception is here, with its reason."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "fairway"
COMMAND = "the command shares the noun that it commands"
SECTION = "the section of the configuration has the name of what it configures"
BOTH = "each platform has its own, behind one port"

MODULES = {
    "__init__": "a package's own module",
    "__main__": "a package that is a program",
    "base": "what the modules of its package have in common; the package says of what",
    "client": BOTH,
    "errors": "the guard of errors in answers, and the errors that fairway raises",
    "fetch": COMMAND,
    "monitor": COMMAND,
    "rollout": COMMAND + "; " + SECTION,
    "rollouts": BOTH,
}
CLASSES = {
    "Evaluation": SECTION,
    "Model": "Seldon's wrapper is told `fairway.serving.seldon_model.Model`, which running pods name; and a section",
    "Split": SECTION,
}


def twice(names: list[tuple[str, Path]]) -> dict[str, list[str]]:
    """Return the names that stand in several modules."""
    places = defaultdict(set)
    for name, path in names:
        places[name].add(str(path.relative_to(SOURCE)))
    return {name: sorted(where) for name, where in places.items() if len(where) > 1}


def modules() -> dict[str, list[str]]:
    return twice([(path.stem, path) for path in SOURCE.rglob("*.py")])


def classes() -> dict[str, list[str]]:
    return twice(
        [
            (name, path)
            for path in SOURCE.rglob("*.py")
            for name in re.findall(
                r"^class (\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
            )
        ]
    )


@pytest.mark.parametrize(
    ("found", "allowed"), [(modules, MODULES), (classes, CLASSES)], ids=["module", "class"]
)
def test_no_name_stands_for_two_things(found, allowed):
    several = {name: places for name, places in found().items() if name not in allowed}
    assert several == {}, "give one of each another name, or say here why both have it"


@pytest.mark.parametrize(
    ("found", "allowed"), [(modules, MODULES), (classes, CLASSES)], ids=["module", "class"]
)
def test_an_exception_that_is_none_any_more_goes(found, allowed):
    assert set(allowed) - set(found()) == set()
