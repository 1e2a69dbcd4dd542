import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fairway import addresses, errors
from fairway.packaging import fetch, manifest
from tests.packaging import published
from tests.packaging.published import Published
from tests.serving import support

OTHER = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return support.packaged(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made) -> Path:
    return Path(made.path)


@pytest.fixture
def web():
    with published.serving() as running:
        yield running


def take(
    uri: str, made, tmp_path: Path, *, digest: str | None = None, **environment: str
) -> manifest.Manifest:
    return fetch.fetch(
        uri,
        digest=digest or made.digest,
        out=tmp_path / "models" / "package",
        environment=environment,
        pause_seconds=0.001,
    )


def left(tmp_path: Path) -> list[str]:
    """What lies beside the lock file."""
    return sorted(
        entry.name for entry in (tmp_path / "models").iterdir() if entry.name != ".package.lock"
    )


def amazon(web: Published, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    published.put(web, folder, at="/bucket/models/income")
    web.wanted = "AWS4-HMAC-SHA256 Credential=key/"
    variables = {
        "AWS_ENDPOINT_URL": web.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return "s3://bucket/models/income/"


def test_a_package_is_the_same_wherever_it_was_published(
    web: Published, made, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.put(web, folder, at="/models/income")
    published.push(web, folder, repository="models/income", tag=folder.name)
    uris = (
        f"file://{folder}",
        f"{web.url}/models/income",
        f"oci://{web.host}/models/income",
        f"oci://{web.host}/models/income:{folder.name}",
    )
    for number, uri in enumerate(uris):
        assert take(uri, made, tmp_path / str(number)).digest == made.digest
        assert left(tmp_path / str(number)) == ["package"]
    assert (
        take(
            amazon(web, folder, monkeypatch), made, tmp_path / "s3", AWS_ENDPOINT_URL=web.url
        ).digest
        == made.digest
    )


def test_a_package_that_is_there_is_kept_and_nothing_is_asked(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    take(f"file://{folder}", made, tmp_path)
    assert take(f"{web.url}/models", made, tmp_path).digest == made.digest
    assert web.asked == []
    with pytest.raises(
        errors.PackageError, match=f"package holds the package {made.digest}: wanted {OTHER}"
    ):
        take(f"{web.url}/models", made, tmp_path, digest=OTHER)


def test_another_package_at_the_address_is_named_with_both_digests_and_nothing_is_left(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.put(web, folder, at="/models")
    with pytest.raises(
        errors.PackageError,
        match=f"{web.url}/models holds the package {made.digest}: wanted {OTHER}",
    ):
        take(f"{web.url}/models?signature=secret", made, tmp_path, digest=OTHER)
    assert left(tmp_path) == []
    assert [path for path, _, _ in web.asked] == ["/models/manifest.json"]


def test_a_changed_file_is_refused_by_name_and_nothing_is_left(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.put(web, folder, at="/models")
    web.files["/models/model.onnx"] += b" "
    with pytest.raises(
        errors.PackageError,
        match=r"model\.onnx of .*/models has the digest sha256:.*: the manifest says sha256:",
    ):
        take(f"{web.url}/models", made, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("faults", [[503], [429, 500, 502, 503, 504], [0], [0, 503, 0]], ids=str)
def test_what_passes_is_tried_again(
    web: Published, made, folder: Path, tmp_path: Path, faults: list[int]
) -> None:
    published.put(web, folder, at="/models")
    web.faults = faults
    assert take(f"{web.url}/models", made, tmp_path).digest == made.digest


@pytest.mark.parametrize(
    ("faults", "kind", "sentence"),
    [
        (
            [403],
            errors.PackageError,
            r"/models/manifest\.json answered 403: these credentials may not read it",
        ),
        (
            [404],
            errors.PackageError,
            r"answered 404: wanted the folder of a model package, as `fairway package` writes it",
        ),
        ([503] * addresses.ATTEMPTS, errors.Unavailable, "answered 503"),
        ([0] * addresses.ATTEMPTS, errors.Unavailable, r"ended after \d+ of \d+ bytes"),
    ],
    ids=["forbidden", "not there", "down", "cut off"],
)
def test_what_does_not_pass_ends_with_a_sentence(
    web: Published, made, folder: Path, tmp_path: Path, faults, kind, sentence: str
) -> None:
    published.put(web, folder, at="/models")
    web.faults = faults
    with pytest.raises(kind, match=sentence) as caught:
        take(f"{web.url}/models?signature=secret", made, tmp_path)
    assert "secret" not in str(caught.value)


def test_nobody_there_is_unavailable(web: Published, made, tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match=r"does not answer: .*refused"):
        take(f"http://127.0.0.1:{support.free_port()}/models", made, tmp_path)


def test_a_file_in_its_place_is_said_and_left_alone(web: Published, made, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "package").write_text("mine")
    with pytest.raises(errors.UsageError, match="package is a file: wanted the name of a new"):
        take(web.url, made, tmp_path)
    assert (tmp_path / "models" / "package").read_text() == "mine"


def test_the_query_goes_with_every_file_and_the_authorization_not_to_where_it_is_redirected(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.put(web, folder, at="/models")
    with published.serving() as store:
        store.files["/blob"] = web.files["/models/model.onnx"]
        web.redirects["/models/model.onnx"] = f"{store.url}/blob"
        web.wanted = "Bearer of-ours"
        take(
            f"{web.url}/models?signature=abc",
            made,
            tmp_path,
            FAIRWAY_FETCH_AUTHORIZATION="Bearer of-ours",
        )
    assert {(query, authorization) for _, query, authorization in web.asked} == {
        ("signature=abc", "Bearer of-ours")
    }
    assert store.asked == [("/blob", "", "")]


def listing(folder: Path, name: str) -> tuple[bytes, str]:
    """A manifest that also lists this name, and its digest."""
    data = json.loads((folder / "manifest.json").read_text())
    data["files"][name] = OTHER
    content = json.dumps(data).encode()
    return content, fetch.manifest.files.digest_bytes(fetch.manifest.files.canonical(data))


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "a/../../evil", "manifest.json", "a\\b", "a//b", "./a", ""]
)
def test_a_name_that_leads_elsewhere_is_never_asked_for(
    web: Published, made, folder: Path, tmp_path: Path, name: str
) -> None:
    published.put(web, folder, at="/models")
    web.files["/models/manifest.json"], digest = listing(folder, name)
    with pytest.raises(errors.PackageError, match="wanted a relative path within the package"):
        take(f"{web.url}/models", made, tmp_path, digest=digest)
    assert [path for path, _, _ in web.asked] == ["/models/manifest.json"]


def test_what_is_larger_than_allowed_is_not_written(
    web: Published, made, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.put(web, folder, at="/models")
    monkeypatch.setattr(fetch, "LARGEST_PACKAGE", 2000 + len(web.files["/models/manifest.json"]))
    with pytest.raises(
        errors.PackageError, match=r"is larger than the .* bytes that are allowed here"
    ):
        take(f"{web.url}/models", made, tmp_path)
    web.files["/models/manifest.json"] = b" " * (manifest.LARGEST_MANIFEST + 1)
    with pytest.raises(errors.PackageError, match=r"manifest\.json is larger than"):
        take(f"{web.url}/models", made, tmp_path)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("models/income", "is no address: wanted file:///folder"),
        ("ftp://host/models", "is no address"),
        ("file://elsewhere/models", "is no address"),
        ("s3:///models", "is no address"),
        ("oci://registry", "is no address"),
        (
            "https://user:secret@host/models",
            "https://host/models: wanted no password in an address",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(made, tmp_path: Path, uri: str, sentence: str) -> None:
    with pytest.raises(errors.UsageError, match=sentence):
        take(uri, made, tmp_path)


@pytest.mark.parametrize("digest", ["", "0" * 64, "sha256:abc", "sha512:" + "0" * 64])
def test_a_digest_that_is_none_is_refused(made, tmp_path: Path, digest: str) -> None:
    with pytest.raises(errors.UsageError, match=r"the digest is .*: wanted sha256: and 64"):
        fetch.fetch(f"file://{made.path}", digest=digest, out=tmp_path / "out")


def test_a_folder_without_a_package_is_named(made, tmp_path: Path) -> None:
    with pytest.raises(
        errors.PackageError,
        match=r"manifest\.json is missing: wanted the folder of a model package",
    ):
        take(f"file://{tmp_path}", made, tmp_path)


def test_two_fetches_to_one_folder_bring_one_package(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.put(web, folder, at="/models")
    digests: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: digests.append(take(f"{web.url}/models", made, tmp_path).digest)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [made.digest] * 3
    assert [path for path, _, _ in web.asked].count("/models/manifest.json") == 1


def test_what_a_killed_fetch_left_is_no_package(made, folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "models" / ".package.fetching"
    half.mkdir(parents=True)
    (half / "strange").write_bytes(b"half")
    take(f"file://{folder}", made, tmp_path)
    assert left(tmp_path) == ["package"]


# -- a bucket --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda web: web.files.clear(),
            r"s3://bucket/models/income/manifest\.json was refused with NoSuchKey: wanted the folder",
        ),
        (
            lambda web: setattr(web, "wanted", "AWS4-HMAC-SHA256 Credential=another/"),
            r"was refused with 401",
        ),
    ],
    ids=["empty", "another's"],
)
def test_a_bucket_that_says_no_is_named(
    web: Published, made, folder: Path, tmp_path: Path, monkeypatch, change, sentence: str
) -> None:
    uri = amazon(web, folder, monkeypatch)
    change(web)
    with pytest.raises(errors.PackageError, match=sentence):
        take(uri, made, tmp_path, AWS_ENDPOINT_URL=web.url)


def test_a_bucket_is_tried_again_and_without_credentials_refused(
    web: Published, made, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    uri = amazon(web, folder, monkeypatch)
    web.faults = [503, 503, 0]
    assert take(uri, made, tmp_path, AWS_ENDPOINT_URL=web.url).digest == made.digest
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.PackageError, match="cannot be read: Unable to locate credentials"):
        take(uri, made, tmp_path / "again", AWS_ENDPOINT_URL=web.url)


# -- a registry ------------------------------------------------------------------------------------


def docker_login(tmp_path: Path, host: str) -> dict[str, str]:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": published.LOGIN}}}))
    return {"DOCKER_CONFIG": str(tmp_path)}


@pytest.mark.parametrize("kind", ["Bearer", "Basic"])
def test_a_private_registry_is_shown_what_docker_login_left(
    web: Published, made, folder: Path, tmp_path: Path, kind: str
) -> None:
    published.push(web, folder, repository="income", tag="v1")
    web.wanted = f"Bearer {published.TOKEN}" if kind == "Bearer" else f"Basic {published.LOGIN}"
    web.challenge = (
        f'{kind} realm="{web.url}/token",service="registry",scope="repository:income:pull"'
    )
    assert (
        take(
            f"oci://{web.host}/income:v1", made, tmp_path, **docker_login(tmp_path, web.host)
        ).digest
        == made.digest
    )
    if kind == "Bearer":
        assert (
            "/token",
            "service=registry&scope=repository%3Aincome%3Apull",
            f"Basic {published.LOGIN}",
        ) in web.asked
    with pytest.raises(errors.PackageError, match="answered 401: wanted credentials"):
        take(f"oci://{web.host}/income:v1", made, tmp_path / "nobody")


@pytest.mark.parametrize(
    ("realm", "sentence"),
    [
        (
            "https://127.0.0.2/token",
            "wants its login sent to 'https://127.0.0.2/token', which is another host",
        ),
        (
            "http://registry.example.com/token",
            "asks for a token from 'http://registry.example.com/token': wanted an https address",
        ),
        ("http://169.254.169.254/latest", "wanted an https address"),
        ("https://127.0.0.1@evil.example.com/token", "which is another host"),
        ("file:///etc/passwd", "wanted an https address"),
    ],
)
def test_a_login_follows_no_realm_to_another_host_or_unencrypted(
    web: Published, made, folder: Path, tmp_path: Path, realm: str, sentence: str
) -> None:
    published.push(web, folder, repository="income", tag="v1")
    web.wanted, web.challenge = (
        f"Bearer {published.TOKEN}",
        f'Bearer realm="{realm}",service="registry"',
    )
    with pytest.raises(errors.PackageError, match=re.escape(sentence)):
        take(f"oci://{web.host}/income:v1", made, tmp_path, **docker_login(tmp_path, web.host))


def test_a_realm_that_is_named_may_have_the_login(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.push(web, folder, repository="income", tag="v1")
    web.wanted = f"Bearer {published.TOKEN}"
    web.challenge = (
        f'Bearer realm="{web.url.replace("127.0.0.1", "localhost")}/token",service="registry"'
    )
    login = docker_login(tmp_path, web.host)
    with pytest.raises(errors.PackageError, match="FAIRWAY_FETCH_REALMS"):
        take(f"oci://{web.host}/income:v1", made, tmp_path, **login)
    assert (
        take(
            f"oci://{web.host}/income:v1",
            made,
            tmp_path,
            FAIRWAY_FETCH_REALMS="other.example.com,localhost",
            **login,
        ).digest
        == made.digest
    )


@pytest.mark.parametrize(
    "document", [b"{}", b'{"layers": [7]}', b'{"layers": null}', b"[]", b"no"], ids=repr
)
def test_what_is_no_artifact_is_refused(
    web: Published, made, tmp_path: Path, document: bytes
) -> None:
    web.files["/v2/income/manifests/v1"] = document
    with pytest.raises(
        errors.PackageError, match=r"wanted what `oras push` makes|is it a registry"
    ):
        take(f"oci://{web.host}/income:v1", made, tmp_path)


def test_a_digest_in_the_address_is_asked_for_as_it_is(
    web: Published, made, folder: Path, tmp_path: Path
) -> None:
    published.push(web, folder, repository="a/b", tag="v1")
    manifest_ = web.files["/v2/a/b/manifests/v1"]
    digest = fetch.manifest.files.digest_bytes(manifest_)
    web.files[f"/v2/a/b/manifests/{digest}"] = manifest_
    assert take(f"oci://{web.host}/a/b:v1@{digest}", made, tmp_path).digest == made.digest
    web.files[f"/v2/a/b/manifests/{OTHER}"] = manifest_
    with pytest.raises(errors.PackageError, match=f"answered what has the digest {digest}"):
        take(f"oci://{web.host}/a/b@{OTHER}", made, tmp_path / "other")


# -- the command -----------------------------------------------------------------------------------


def test_the_command_leaves_its_facts_and_ends_with_1_and_one_sentence_on_a_mismatch(
    made, folder: Path, tmp_path: Path
) -> None:
    facts = tmp_path / "termination-log"
    facts.touch()
    command = [sys.executable, "-m", "fairway", "fetch", f"file://{folder}", "--facts", str(facts)]
    done = subprocess.run(
        [*command, "--digest", made.digest, "--out", str(tmp_path / "a")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(facts.read_text())["digest"] == made.digest
    done = subprocess.run(
        [*command, "--digest", OTHER, "--out", str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"fairway: file://{folder} holds the package {made.digest}: wanted {OTHER}; another package was put in "
        f"its place\n"
    )


def test_memory_does_not_grow_with_the_package(web: Published, tmp_path: Path) -> None:
    code = (
        "import resource\nfrom pathlib import Path\n"
        "from fairway.addresses import web\nfrom fairway.packaging import fetch\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"fetch._write(web.Site({web.url!r}), 'big', to=Path({str(tmp_path / 'big')!r}), largest=1 << 40)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    web.files["/big"] = bytes(200 << 20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 << 10  # KiB
