"""A package put where a cluster fetches it from: the same bytes come back, nothing is half there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairway import addresses, cli, errors
from fairway.addresses import s3
from fairway.packaging import fetch, publish
from tests.packaging import buckets
from tests.serving import support


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return support.packaged(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with buckets.serving(tmp_path_factory.mktemp("s3") / "log") as found:
        buckets.client(found).create_bucket(Bucket="packages")
        yield found


@pytest.fixture
def amazon(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in buckets.variables(endpoint).items():
        monkeypatch.setenv(name, value)
    return endpoint


def fetched(uri: str, made, out: Path):
    return fetch.fetch(uri, digest=made.digest, out=out, pause_seconds=0.01)


def test_what_was_put_is_what_is_fetched_and_a_second_time_changes_nothing(
    made, amazon: str, tmp_path: Path
) -> None:
    (tmp_path / "claims" / "models").mkdir(parents=True)
    for number, store in enumerate(
        ("s3://packages/models/", f"file://{tmp_path}/store", "pvc://models/kept")
    ):
        claims = tmp_path / "claims"
        uri = publish.publish(Path(made.path), store=store, claims=claims)
        assert uri == f"{store.rstrip('/')}/{made.digest.removeprefix('sha256:')}"
        readable = uri.replace("pvc://models", f"file://{claims}/models")
        assert fetched(readable, made, tmp_path / f"out{number}").digest == made.digest
        assert publish.publish(Path(made.path), store=store, claims=claims) == uri
    listed = buckets.client(amazon).list_objects_v2(Bucket="packages", Prefix="models/")
    assert len(listed["Contents"]) == len([*Path(made.path).rglob("*.*")])


def test_an_artifact_of_kubeflow_pipelines_own_store_is_a_package(
    made, amazon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = addresses.writable("s3://packages/v2/artifacts/training/run/package/1/package")
    assert place is not None
    files = [file for file in Path(made.path).rglob("*") if file.is_file()]
    addresses.put_all(place, {str(file.relative_to(made.path)): file for file in files})
    uri = "minio://packages/v2/artifacts/training/run/package/1/package"
    assert fetched(uri, made, tmp_path / "out").digest == made.digest
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(
        errors.UsageError, match="names no server: wanted AWS_ENDPOINT_URL, such as"
    ):
        fetched(uri, made, tmp_path / "nowhere")


def test_a_publication_that_was_cut_off_is_made_whole(made, amazon: str, tmp_path: Path) -> None:
    client, digest = buckets.client(amazon), made.digest.removeprefix("sha256:")
    client.put_object(Bucket="packages", Key=f"cut/{digest}/model.onnx", Body=b"half of")
    uri = publish.publish(Path(made.path), store="s3://packages/cut")
    assert fetched(uri, made, tmp_path / "out").digest == made.digest


def test_a_large_file_is_written_by_parts(
    amazon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)  # the least that S3 takes
    content = bytes(range(256)) * (48 << 10)  # 12 MiB
    (tmp_path / "large").write_bytes(content)
    bucket = s3.Bucket("packages", prefix="large", environment=buckets.variables(amazon))
    bucket.put("file", tmp_path / "large")
    assert b"".join(bucket.chunks("file")) == content
    there = buckets.client(amazon).head_object(Bucket="packages", Key="large/file")
    assert there["ETag"].endswith('-3"')


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("https://models.example/kept", "takes no package: wanted s3://bucket/prefix, gs://"),
        ("pvc://models/kept", "has the claim models mounted at .*, and that folder is not here"),
        ("s3://no-such-bucket/models", "NoSuchBucket: there is no such bucket"),
        ("file:///proc/packages", "/proc/packages/.* cannot be written: No such file"),
    ],
)
def test_a_store_that_takes_nothing_is_told_with_the_way(
    made, amazon: str, tmp_path: Path, store: str, said: str
) -> None:
    with pytest.raises(errors.FairwayError, match=said):
        publish.publish(Path(made.path), store=store, claims=tmp_path, pause_seconds=0.01)


def test_a_bucket_that_is_away_may_come_back(amazon: str, tmp_path: Path) -> None:
    away = {**buckets.variables(amazon), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    bucket = s3.Bucket("packages", prefix="away", environment=away)
    with pytest.raises(errors.Unavailable, match="s3://packages/away/file cannot be read now"):
        next(bucket.chunks("file"))


def test_a_package_that_was_changed_is_not_put_anywhere(made, tmp_path: Path) -> None:
    copy = support.packaged(tmp_path / "other")
    (Path(copy.path) / "golden.json").chmod(0o644)
    (Path(copy.path) / "golden.json").write_text("[]")
    with pytest.raises(errors.PackageError, match=r"golden\.json"):
        publish.publish(Path(copy.path), store=f"file://{tmp_path}/store")
    assert not (tmp_path / "store").exists()


def test_the_command_says_where_it_lies_and_what_it_lacks(made, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(cli.cli, ["push", *words])
        return done.output if done.exception is None else str(done.exception)

    asked = (made.path, f"--to=file://{tmp_path}/store", "--output=json")
    assert json.loads(said(*asked)) == {
        "name": made.name,
        "digest": made.digest,
        "uri": f"file://{tmp_path}/store/{made.digest.removeprefix('sha256:')}",
    }
    (tmp_path / "fairway.yaml").write_text("name: income\ndata: {source: digits}\n")
    assert re.search("platform.store is not set", said(made.path, f"-c{tmp_path}/fairway.yaml"))


def test_a_store_remembers_which_package_is_a_runs(tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    store, digest = "pvc://claim/models", f"sha256:{'0' * 64}"
    publish.note(store, run="0a/1b", address=f"{store}/{'0' * 64}", digest=digest, claims=tmp_path)
    told = publish.of_run(store, run="0a/1b", claims=tmp_path)
    assert told == (f"{store}/{'0' * 64}", digest)
    with pytest.raises(errors.UsageError, match="run other put no package in pvc://claim/models"):
        publish.of_run(store, run="other", claims=tmp_path)
