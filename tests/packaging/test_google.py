"""Packages and rows in a bucket of Google's protocol: a real server of it, from its Go module."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import addresses, errors
from fairway.config import sections
from fairway.data import importing
from fairway.packaging import fetch, publish
from tests.packaging import registries
from tests.serving import support

# built with Go, as the cluster's programs are: ten minutes once, of which CI has none
pytestmark = [pytest.mark.cluster, pytest.mark.lengthy]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.google(tmp_path_factory.mktemp("google")) as url:
        asked = urllib.request.Request(
            f"{url}/storage/v1/b?project=tests",
            data=json.dumps({"name": "packages"}).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(asked).close()
        yield url


@pytest.fixture
def google(emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator)
    return emulator


def test_what_was_put_in_a_bucket_is_what_is_fetched(google: str, tmp_path: Path) -> None:
    made = support.packaged(tmp_path / "made")
    uri = publish.publish(Path(made.path), store="gs://packages/models/")
    assert uri == f"gs://packages/models/{made.digest.removeprefix('sha256:')}"
    assert publish.publish(Path(made.path), store="gs://packages/models") == uri
    brought = fetch.fetch(uri, digest=made.digest, out=tmp_path / "out", pause_seconds=0.01)
    assert brought.digest == made.digest


def test_rows_are_brought_from_a_bucket_however_large(google: str, tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,2\n" * (3 << 20)  # 12 MiB: more than one request
    (tmp_path / "rows.csv").write_bytes(content)
    place = addresses.writable("gs://packages/rows")
    assert place is not None
    addresses.put_all(place, {"rows.csv": tmp_path / "rows.csv"})
    section = sections.Data.of(source="csv", path="gs://packages/rows/rows.csv")
    record = importing.bring(section, out=tmp_path / "out")
    assert record[0]["bytes"] == len(content)
    assert (tmp_path / "out" / str(record[0]["file"])).read_bytes() == content


def test_what_a_bucket_lacks_is_named(google: str, tmp_path: Path) -> None:
    missing = addresses.folder("gs://packages/nothing")
    with pytest.raises(errors.MissingFile, match="gs://packages/nothing/file was refused with 404"):
        next(missing.chunks("file"))
    (tmp_path / "file").write_text("a")
    elsewhere = addresses.writable("gs://no-such-bucket/models")
    assert elsewhere is not None
    with pytest.raises(errors.AddressError, match="404: there is no such bucket"):
        elsewhere.put("file", tmp_path / "file")


def test_a_bucket_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    away = addresses.folder("gs://packages/models")
    with pytest.raises(errors.Unavailable, match="gs://packages/models/file cannot be read now"):
        next(away.chunks("file"))
