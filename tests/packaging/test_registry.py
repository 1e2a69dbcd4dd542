"""Packages in a real registry: pushed, found again, refused."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import addresses, errors
from fairway.packaging import fetch, publish
from tests.packaging import published, registries
from tests.serving import support

pytestmark = pytest.mark.cluster  # built with Go, as the cluster's programs are


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return support.packaged(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registries.serving(tmp_path_factory.mktemp("registry")) as found:
        yield found


def pushed(made, store: str, environment: dict[str, str]) -> str:
    return publish.publish(
        Path(made.path), store=store, environment=environment, pause_seconds=0.01
    )


def brought(uri: str, made, out: Path, environment: dict[str, str]) -> str:
    return fetch.fetch(
        uri, digest=made.digest, out=out, environment=environment, pause_seconds=0.01
    ).digest


def manifest_of(uri: str) -> tuple[dict[str, object], str]:
    """The artifact as any client sees it, and its digest."""
    host, _, path = uri.removeprefix("oci://").partition("/")
    repository, _, tag = path.partition(":")
    headers = {
        "Authorization": f"Basic {published.LOGIN}",
        "Accept": "application/vnd.oci.image.manifest.v1+json",
    }
    request = urllib.request.Request(
        f"http://{host}/v2/{repository}/manifests/{tag}", headers=headers
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response), response.headers["docker-content-digest"]


def test_a_package_is_pushed_under_its_digest_and_a_second_time_changes_nothing(
    made, host: str, tmp_path: Path
) -> None:
    environment = registries.login(host)
    uri = pushed(made, f"oci://{host}/models/income", environment)
    assert uri == f"oci://{host}/models/income:{made.digest.removeprefix('sha256:')}"
    document, digest = manifest_of(uri)
    assert pushed(made, f"oci://{host}/models/income", environment) == uri
    assert manifest_of(uri) == (document, digest)
    titles = [
        layer["annotations"]["org.opencontainers.image.title"] for layer in document["layers"]
    ]  # type: ignore[attr-defined]
    assert titles[-1] == "manifest.json"
    assert brought(uri, made, tmp_path / "by tag", environment) == made.digest
    pinned = f"oci://{host}/models/income@{digest}"
    assert brought(pinned, made, tmp_path / "by digest", environment) == made.digest


def test_a_push_that_was_cut_off_is_made_whole(made, host: str, tmp_path: Path) -> None:
    environment = registries.login(host)
    half = addresses.writable(f"oci://{host}/cut:half", environment=environment)
    assert half is not None
    half.put("model.onnx", Path(made.path) / "model.onnx")  # and killed before `finish`
    uri = pushed(made, f"oci://{host}/cut", environment)
    assert brought(uri, made, tmp_path / "out", environment) == made.digest


def test_a_registry_remembers_which_package_is_a_runs_and_keeps_rows(
    host: str, tmp_path: Path
) -> None:
    environment, store = registries.login(host), f"oci://{host}/models/runs"
    digest = f"sha256:{'0' * 64}"
    publish.note(store, run="0a-1b", address="there", digest=digest, environment=environment)
    told = publish.of_run(store, run="0a-1b", environment=environment)
    assert told == ("there", digest)
    with pytest.raises(errors.UsageError, match="run other put no package in oci://"):
        publish.of_run(store, run="other", environment=environment)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    folder = addresses.below(store, "data", "0" * 64)
    place = addresses.writable(folder, environment=environment)
    assert place is not None
    addresses.put_all(place, {"rows.csv": tmp_path / "rows.csv"})
    parent, name = addresses.parted(f"{folder}/rows.csv")
    found = addresses.folder(parent, environment=environment)
    assert b"".join(found.chunks(name)) == b"a,b\n1,2\n"


def test_who_may_not_push_is_told_so(made, host: str) -> None:
    with pytest.raises(errors.AddressError, match="answered 401: wanted credentials"):
        pushed(made, f"oci://{host}/models", {})
    wrong = base64.b64encode(b"reader:wrong").decode()
    with pytest.raises(errors.AddressError, match="answered 401: wanted credentials"):
        pushed(made, f"oci://{host}/models", registries.login(host, wrong))


def test_a_login_of_the_variable_goes_before_one_of_the_file(
    made, host: str, tmp_path: Path
) -> None:
    wrong = base64.b64encode(b"reader:wrong").decode()
    (tmp_path / "config.json").write_text(registries.login(host, wrong)["DOCKER_AUTH_CONFIG"])
    environment = {"DOCKER_CONFIG": str(tmp_path), **registries.login(host)}
    assert pushed(made, f"oci://{host}/models", environment)
    (tmp_path / "config.json").write_text(environment["DOCKER_AUTH_CONFIG"])
    elsewhere = environment | registries.login("another.example")
    assert pushed(made, f"oci://{host}/models", elsewhere)


def test_a_token_is_asked_for_with_the_right_to_push(made, tmp_path: Path) -> None:
    with published.serving() as tokens:
        auth = {"silly": {"realm": f"{tokens.url}/token", "service": "registry"}}
        with registries.serving(tmp_path, auth) as host:
            environment = registries.login(host)
            uri = pushed(made, f"oci://{host}/models", environment)
            assert brought(uri, made, tmp_path / "out", environment) == made.digest
    scopes = {query for path, query, _ in tokens.asked if path == "/token"}
    asked = "service=registry&scope=repository%3Amodels%3Apull"
    assert scopes == {asked, f"{asked}%2Cpush"}


@pytest.mark.parametrize(
    "store", ["oci://registry/models:v1", f"oci://registry/models@sha256:{'0' * 64}"]
)
def test_a_store_names_no_artifact(made, store: str) -> None:
    with pytest.raises(errors.UsageError, match="wanted oci://registry/repository, without a tag"):
        pushed(made, store, {})


def test_an_artifact_that_is_there_is_not_written(host: str, tmp_path: Path) -> None:
    environment = registries.login(host)
    pinned = f"oci://{host}/models@sha256:{'0' * 64}"
    place = addresses.writable(pinned, environment=environment)
    assert place is not None
    with pytest.raises(errors.UsageError, match="wanted a tag to write one under"):
        place.finish()
