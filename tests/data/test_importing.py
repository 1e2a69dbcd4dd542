"""Rows that lie elsewhere: brought whole, read like files of this machine, refused with a sentence."""

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from fairway import errors, files
from fairway.config import sections
from fairway.data import importing, prepare
from fairway.pipelines import travel
from tests.cli.running import FEW
from tests.packaging import buckets


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with buckets.serving(tmp_path_factory.mktemp("s3") / "log") as found:
        client = buckets.client(found)
        client.create_bucket(Bucket="rows")
        client.put_object(Bucket="rows", Key="of/few.csv", Body=FEW.encode())
        yield found


@pytest.fixture
def amazon(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in buckets.variables(endpoint).items():
        monkeypatch.setenv(name, value)
    return endpoint


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "few.csv").write_text(FEW)
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site")
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def section(path: str | Path) -> sections.Data:
    return sections.Data.of(source="csv", path=path, target="income")


def test_rows_are_the_same_wherever_they_lie(amazon: str, site: str, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text(FEW)
    (tmp_path / "claims" / "rows").mkdir(parents=True)
    (tmp_path / "claims" / "rows" / "few.csv").write_text(FEW)
    here = prepare.prepare(section(tmp_path / "few.csv"), out=tmp_path / "here")
    digest = files.digest_file(tmp_path / "few.csv")
    for number, address in enumerate(
        (
            "s3://rows/of/few.csv",
            f"{site}/few.csv?signature=secret",
            "pvc://rows/few.csv",
            f"file://{tmp_path}/few.csv",
        )
    ):
        out = tmp_path / f"out{number}"
        (brought,) = importing.bring(section(address), out=out, claims=tmp_path / "claims")
        assert (brought["key"], brought["digest"], brought["bytes"]) == ("path", digest, len(FEW))
        assert "secret" not in str(brought)
        there = importing.brought(section(address), folder=out)
        assert prepare.prepare(there, out=tmp_path / f"made{number}").version == here.version


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://rows/of/none.csv", "data.path: s3://rows/of/none.csv was refused with NoSuchKey"),
        ("s3://nobodys/none.csv", "data.path: .* NoSuchBucket: there is no such bucket"),
        ("pvc://rows/few.csv", "has the claim rows mounted at .*, and that folder is not here"),
        ("https://host/", "names no file: wanted one after the last /"),
        ("file:///nowhere/few.csv", "data.path: /nowhere/few.csv is missing"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_left(
    amazon: str, tmp_path: Path, address: str, said: str
) -> None:
    with pytest.raises(errors.FairwayError, match=said):
        importing.bring(section(address), out=tmp_path / "out", claims=tmp_path, pause_seconds=0.01)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_a_location_travels_as_json() -> None:
    for path in ("/data/few.csv", "s3://rows/few.csv"):
        config = sections.Config(data=section(path))
        assert sections.Config.model_validate_json(config.model_dump_json(by_alias=True)) == config


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ftp://host/few.csv", "wanted a path, or an address that starts with s3://"),
        ("https://user:secret@host/few.csv", "wanted no credentials in an address"),
    ],
)
def test_an_address_that_is_none_is_no_configuration(path: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        section(path)


def test_files_of_this_machine_are_uploaded_once_or_refused_with_the_ways(
    amazon: str, tmp_path: Path
) -> None:
    (tmp_path / "few.csv").write_text(FEW)
    local = sections.Config(
        data=section(tmp_path / "few.csv"), platform=sections.Platform(store="s3://rows/kept")
    )
    with pytest.raises(errors.UsageError, match="which no pod sees: wanted an address such as s3"):
        travel.ready(local, deploys=True)
    sent = travel.uploaded(local)
    address = sent.data.addresses()["path"]
    assert re.fullmatch(r"s3://rows/kept/data/[0-9a-f]{64}/few\.csv", address)
    assert travel.uploaded(local) == sent
    assert travel.ready(sent, deploys=True).platform.kind == "kubernetes"
    importing.bring(sent.data, out=tmp_path / "out")
    there = importing.brought(sent.data, folder=tmp_path / "out")
    assert Path(there.paths()["path"]).read_text() == FEW


def test_a_query_needs_a_secret_that_tells_the_steps_its_database() -> None:
    rows = sections.Data.of(source="sql", query="SELECT 1 AS a")
    config = sections.Config(data=rows)
    with pytest.raises(
        errors.UsageError, match="no step has the variable FAIRWAY_DATA_URL: wanted"
    ):
        travel.ready(config, deploys=False)
    secret = sections.SecretKey(secret="warehouse", key="url")
    told = sections.Pipeline(secrets={"FAIRWAY_DATA_URL": secret})
    assert travel.ready(config.model_copy(update={"pipeline": told}), deploys=False).data == rows


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (None, "platform.store is not set, and no server could fetch the package"),
        ("https://host/kept", "where no step can put a package: wanted s3://bucket/models, gs://"),
    ],
)
def test_a_run_that_deploys_needs_a_store_that_takes_packages(store: str | None, said: str) -> None:
    config = sections.Config(
        data=section("s3://rows/few.csv"), platform=sections.Platform(store=store)
    )
    with pytest.raises(errors.UsageError, match=said):
        travel.ready(config, deploys=True)
