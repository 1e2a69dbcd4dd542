"""Where a model comes from: what is remembered of champions, and how far back it is told."""

import json
from pathlib import Path
from typing import Any

from fairway.packaging import lineage, manifest
from tests.serving import support


def one(digest: str, champion: str | None = None, **more: Any) -> dict[str, Any]:
    return {"digest": digest, "champion": champion, "run": None, "data": {}, **more}


def digests(chain: Any) -> list[str]:
    return [found["digest"] for found in chain]


def test_what_was_remembered_stays_for_the_one_that_serves_may_be_no_champion() -> None:
    assert digests(lineage.kept(one("c", "x"), [one("b", "a"), one("a")])) == ["c", "b", "a"]
    assert digests(lineage.kept(one("a"), [one("b", "a"), one("a")])) == ["a", "b"]


def test_who_asks_again_for_a_package_did_not_make_it() -> None:
    first = one("a", run="first", why="ticket 7")
    assert lineage.kept(one("a"), [first]) == [first]


def test_what_is_remembered_is_bounded() -> None:
    before = [one(str(number), str(number - 1)) for number in range(50, 0, -1)]
    assert len(lineage.kept(one("51", "50"), before)) == lineage.MOST_KEPT


def test_ancestors_are_told_to_the_first_that_is_not_known_and_a_circle_ends() -> None:
    known = {"c": one("c", "b"), "b": one("b", "a")}
    assert lineage.ancestry("c", find=known.get) == (*known.values(), {"digest": "a"})
    circle = {"a": one("a", "b"), "b": one("b", "a")}
    assert digests(lineage.ancestry("a", find=circle.get)) == ["a", "b"]


def test_the_lineage_of_any_package_is_small_and_an_older_ones_says_what_it_has(
    tmp_path: Path,
) -> None:
    package = manifest.load(Path(support.packaged(tmp_path).path))
    said = lineage.of(package, came=lineage.Provenance(why="w" * 10_000))
    assert said["digest"] == package.digest
    assert len(said["why"]) == lineage.LONGEST_WORDS
    package.lineage["data"] = {"files": {f"rows-{n}.csv" + "x" * 900: "sha256:" for n in range(90)}}
    assert len(json.dumps(lineage.of(package))) <= lineage.MOST_BYTES
    package.lineage["data"] = "nothing that we wrote"
    assert lineage.of(package)["data"]["source"] == package.lineage["source"]
