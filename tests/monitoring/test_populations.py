"""What rows may be of: the reference of a package, and what a deployment served."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway import errors
from fairway.monitoring import populations, stretch
from fairway.monitoring.detectors import base
from fairway.monitoring.eventstore import distant, places, wire
from fairway.packaging import manifest, package
from tests.monitoring import made, processes
from tests.serving import support

DAY = 86_400.0
FIRST = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def rows(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {"age": float(age), "hours": float(hours), "sector": str(sector)}
        for age, hours, sector in zip(
            rng.normal(40, 10, count),
            rng.normal(40, 10, count),
            rng.choice(["private", "state"], count),
            strict=True,
        )
    ]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "schema.json").write_text(
        json.dumps({**support.SCHEMA, "reference": "reference.json"})
    )
    kept = [
        {**row, "age": min(max(row["age"], 17), 90), "hours": min(max(row["hours"], 1), 99)}
        for row in rows(120, np.random.default_rng(0))
    ]
    (folder / "reference.json").write_text(json.dumps(kept))
    model = support.onnx_model(folder / "model.onnx")
    return Path(
        package.import_onnx(
            model, schema=folder / "schema.json", name="income", out=folder / "store"
        ).path
    )


@pytest.fixture
def store(tmp_path: Path):
    opened = places.opened(tmp_path / "events.db")
    rng = np.random.default_rng(1)
    for day, (revision, role) in enumerate(
        [("a" * 12, "stable"), ("b" * 12, "canary"), ("b" * 12, "stable")]
    ):
        for place, row in enumerate(rows(30, rng)):
            opened.add(
                [
                    made.prediction(
                        f"{day}/{place}",
                        revision=revision,
                        role=role,
                        at=FIRST + day * DAY + place,
                        inputs={name: [value] for name, value in row.items()},
                    )
                ]
            )
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("income", stretch.Meant(deployment="income")),
        ("income@500", stretch.Meant(deployment="income", rows=500)),
        ("income@0123456789ab", stretch.Meant(deployment="income", revision="0123456789ab")),
        (
            "income@2026-11-01..2026-11-02",
            stretch.Meant(deployment="income", since=FIRST, until=FIRST + DAY),
        ),
        ("income@2026-11-01..", stretch.Meant(deployment="income", since=FIRST)),
        (
            "income@..2026-11-01T02:00+02:00@abcdef@40",
            stretch.Meant(deployment="income", until=FIRST, revision="abcdef", rows=40),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_a_deployment_are_meant_by_revision_time_and_number(
    text: str, meant: stretch.Meant
) -> None:
    assert stretch.asked(text) == meant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("income@soon", "has 'soon' after the @: wanted a number of rows below 100,000, times"),
        ("income@2026-13-01..", "has the time '2026-13-01': wanted one such as 2026-11-01"),
        ("income@2026-11-02..2026-11-01", "ends before it begins"),
        ("income@10@20", "says rows twice"),
        ("no/such folder", "nothing is called no/such folder: wanted a file of rows"),
        ("", "nothing is called"),
    ],
)
def test_a_text_that_means_no_rows_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        stretch.asked(text)
    assert sentence in str(caught.value)


def served(store: Any, text: str, packaged: Path, *revisions: str) -> populations.Population:
    return populations.in_service(
        store.history,
        stretch.asked(text),
        text=text,
        namespace="default",
        revisions=revisions,
        package_of=lambda _: populations.packaged(manifest.load(packaged)),
    )


@pytest.mark.parametrize(
    ("text", "revisions", "rows_of"),
    [
        ("income", ["b" * 12], 30),  # stable alone
        ("income@10", ["b" * 12], 10),
        ("income@bbbbbbbbbbbb", ["b" * 12], 60),  # and its canary
        ("income@2026-11-01..2026-11-02", ["b" * 12, "a" * 12], 30),
        ("income@2026-11-01..2026-11-05", ["b" * 12, "a" * 12], 60),
        ("income@2026-11-01T00:00:10..2026-11-01T00:00:15", ["a" * 12], 5),
    ],
)
def test_what_was_served_is_read_by_time_revision_and_number(
    store: Any, packaged: Path, text: str, revisions: list[str], rows_of: int
) -> None:
    found = served(store, text, packaged, *revisions)
    assert found.rows == rows_of == len(found.columns["age"])
    assert set(found.columns) == {*support.FEATURES, base.ANSWERS}
    assert found.served


@pytest.mark.parametrize(
    "text", ["income@10", "income@bbbbbbbbbbbb", "income@2026-11-01..2026-11-05"]
)
def test_a_collector_tells_the_same_rows_as_its_store(
    store: Any, tmp_path: Path, packaged: Path, text: str
) -> None:
    revisions = ("b" * 12, "a" * 12) if ".." in text else ("b" * 12,)
    here = served(store, text, packaged, *revisions)
    with processes.collector(tmp_path / "events.db") as running:
        asked = distant.Distant(
            wire.Wire(url=running.url), namespace="default", deployment="income"
        )
        there = served(asked, text, packaged, *revisions)
    assert there.of == here.of
    assert there.columns.keys() == here.columns.keys()
    for name, values in here.columns.items():
        np.testing.assert_array_equal(there.columns[name], values)


def test_the_rows_stand_in_the_order_of_their_time(store: Any, packaged: Path) -> None:
    found = served(store, "income@2026-11-01..2026-11-05", packaged, "b" * 12, "a" * 12)
    first = served(store, "income@2026-11-01..2026-11-02", packaged, "b" * 12, "a" * 12)
    assert found.columns["age"][:30].tolist() == first.columns["age"].tolist()
    assert (
        found.of == f"revision {'a' * 12}, {'b' * 12} from 2026-11-01 00:00 to 2026-11-03 00:00 UTC"
    )
    assert found.package is None  # of two models no one confusion matrix tells
    assert first.package is not None


def test_requests_that_do_not_fit_are_left_out_and_counted(store: Any, packaged: Path) -> None:
    odd = made.prediction("odd", revision="b" * 12, at=FIRST + 2 * DAY + 60, inputs={"age": ["x"]})
    store.add([odd])
    found = served(store, "income@bbbbbbbbbbbb", packaged, "b" * 12)
    assert found.rows == 60
    assert found.remarks == [
        "income@bbbbbbbbbbbb: 1 requests do not fit the schema, and are left out"
    ]


@pytest.mark.parametrize(
    ("text", "revisions", "sentence"),
    [
        ("income@2027-01-01..", ["b" * 12], "no prediction of income with logged inputs is there at that time"),
        ("income@cccccccccccc", [], "income has no such revision"),
        ("other", ["b" * 12], "no prediction of other with logged inputs is there: send requests"),
    ],
)  # fmt: skip
def test_where_nothing_was_served_it_is_said(
    store: Any, packaged: Path, text: str, revisions: list[str], sentence: str
) -> None:
    with pytest.raises(errors.DataError) as caught:
        served(store, text, packaged, *revisions)
    assert sentence in str(caught.value)


def test_a_package_is_its_reference(packaged: Path) -> None:
    found = populations.of_package(packaged)
    assert found.rows == 120
    assert set(found.columns) == {*support.FEATURES, base.ANSWERS}
    assert not found.served
    assert found.package is not None
    assert found.package.confusion is None  # it was imported without an evaluation


def test_a_package_without_a_reference_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = Path(support.packaged(tmp_path / "bare").path)
    with pytest.raises(errors.PackageError, match="has no reference window"):
        populations.of_package(folder)
