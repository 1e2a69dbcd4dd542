"""What an air-gapped cluster is installed from: whole, the same every time, and from one registry."""

import functools
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from fairway import errors, files
from fairway.addresses import oci, registry
from fairway.platforms.kubernetes import airgapped, imagerefs, registrydigests
from tests.cli.running import assert_one_sentence, fairway, one_object
from tests.helm import rendering
from tests.packaging import registries

ROOT = Path(__file__).parents[3]
MIRROR = "mirror.example:5000/ml"
DIGEST = "sha256:" + "a" * 64
PLACES = ("manifests", "pipelines", "components")
REGISTRY = "wanted HOST[:PORT][/PATH] without a scheme, such as registry.example:5000/fairway"
STAYS = "wanted NAME:TAG or NAME@sha256:DIGEST"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "bundle"
    airgapped.build(out)
    return out


@pytest.fixture(scope="module")
def moved(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle for a mirror, with the images of the plain one by digest."""
    out = tmp_path_factory.mktemp("moved") / "bundle"
    known = imagerefs.listed(digests_of(plain), source="digests")
    airgapped.build(out, registry=MIRROR, digest_of=known)
    return out


def digests_of(bundle: Path) -> str:
    return re.sub(r"$(?<=.)", f"@{DIGEST}", (bundle / "images.txt").read_text(), flags=re.MULTILINE)


def contents(bundle: Path) -> dict[str, bytes]:
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    return {str(path.relative_to(bundle)): path.read_bytes() for path in files}


def in_yaml(found: object) -> set[str]:
    """Return what containers run and what variables of an image's name say."""
    if isinstance(found, list):
        return set().union(*map(in_yaml, found))
    if not isinstance(found, dict):
        return set()
    own = {found["image"]} if isinstance(found.get("image"), str) else set()
    own |= {found["value"]} if str(found.get("name", "")).endswith("_IMAGE") else set()
    return own.union(*map(in_yaml, found.values()))


@functools.cache
def images(bundle: Path) -> set[str]:
    files = [path for place in PLACES for path in (bundle / place).rglob("*.y*ml")]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return set().union(*(in_yaml(list(yaml.load_all(p.read_text(), loader))) for p in files))


def test_every_file_has_its_sum_and_sha256sum_agrees(plain: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=plain,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    summed = {line.removesuffix(": OK") for line in done.stdout.splitlines()}
    assert summed == set(contents(plain)) - {"SHA256SUMS"}


def test_the_same_sources_give_the_same_bytes_at_the_same_time(plain: Path, tmp_path: Path) -> None:
    airgapped.build(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(plain)
    assert {path.stat().st_mtime for path in plain.rglob("*") if path.is_file()} == {airgapped.TIME}


def test_manifests_pipelines_and_chart_are_the_committed_ones(plain: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PLACES, "helm/fairway"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    data = [name for name in tracked if name.endswith((".yaml", ".yml", ".json", ".md"))]
    wanted = {
        name: (ROOT / name).read_bytes()
        for name in data
        if name.startswith(("manifests/", "pipelines/")) or name.endswith("/component.yaml")
    }
    found = {name: content for name, content in contents(plain).items() if name.startswith(PLACES)}
    assert found == wanted
    with tarfile.open(plain / "charts" / "fairway-0.1.0.tgz") as archive:
        packed = {f"helm/{member.name}" for member in archive}
        assert packed == {name for name in tracked if name.startswith("helm/")}
        for member in archive:
            assert archive.extractfile(member).read() == (ROOT / "helm" / member.name).read_bytes()


def test_every_image_is_listed_and_none_moves(plain: Path) -> None:
    listed = (plain / "images.txt").read_text().split()
    assert listed == sorted(listed)
    assert images(plain) == set(listed)
    assert all(imagerefs.parse(name).tag for name in listed)
    assert "fairway/server:0.1.0" in listed


def test_a_mirror_is_the_only_place_that_a_bundle_for_it_pulls_from(moved: Path) -> None:
    found = images(moved)
    assert len(found) == 5
    assert all(re.fullmatch(rf"{MIRROR}/fairway/\w+@{DIGEST}", name) for name in found)
    said = yaml.safe_load((moved / "values.yaml").read_text())
    assert {image.pulled for _, image in imagerefs.in_values(said, version="")} < found
    for name, content in contents(moved).items():
        if name.startswith(PLACES):
            assert b"ghcr.io/fairway/pipeline" not in content, name


def test_an_overlay_differs_by_its_images_alone(plain: Path, moved: Path) -> None:
    before, after = contents(plain), contents(moved)
    changed = {name for name in before if name.startswith(PLACES) and before[name] != after[name]}
    assert {name for name in changed if name.startswith("manifests/")} == {
        f"manifests/operator/{name}.yaml" for name in ("collector", "monitor", "operator")
    }
    back = re.compile(rf"{MIRROR}/(fairway/\w+)@{DIGEST}".encode())
    for name in changed:
        restored = back.sub(rb"\1:0.1.0", after[name])
        assert (
            restored.replace(b" fairway/pipeline:", b" ghcr.io/fairway/pipeline:") == before[name]
        )


def test_the_page_copies_every_image_by_digest_to_the_mirror(moved: Path) -> None:
    page = (moved / "README.md").read_text()
    for line in (moved / "images.txt").read_text().split():
        image = imagerefs.parse(line)
        folder = f"dir:images/{image.name.replace('/', '-')}-{image.tag}"
        assert f"docker://{image.name}@{DIGEST} {folder}\n" in page
        assert f'{folder} "docker://{MIRROR}/{image.path}:{image.tag}"\n' in page
    assert f'pipeline: {{image: "{MIRROR}/fairway/pipeline@{DIGEST}"}}' in page
    assert "$" not in page


def test_the_page_of_a_bundle_for_no_mirror_takes_it_from_a_variable(plain: Path) -> None:
    page = (plain / "README.md").read_text()
    assert "REGISTRY=registry.example:5000/fairway" in page
    assert page.count("--set server.seldonImage.registry=$REGISTRY") == 2


def test_the_images_of_a_bundle_name_the_digests_of_the_next(moved: Path, tmp_path: Path) -> None:
    done = fairway(
        "bundle", "next", "--digests", str(moved / "images.txt"), "--output", "json", where=tmp_path
    )
    record = one_object(done)
    assert record["images"] == (moved / "images.txt").read_text().split()
    assert record == json.loads((tmp_path / "next" / "bundle.json").read_text())


@pytest.mark.parametrize(
    ("text", "path", "mirrored"),
    [
        ("fairway/server:1", "fairway/server", "m.example/fairway/server:1"),
        ("ghcr.io/a/b:1", "a/b", "m.example/a/b:1"),
        ("localhost:5000/b:v1.2", "b", "m.example/b:v1.2"),
        (f"redis@{DIGEST}", "redis", f"m.example/redis@{DIGEST}"),
        (f"redis:7@{DIGEST}", "redis", f"m.example/redis@{DIGEST}"),
    ],
)
def test_a_host_gives_way_to_the_mirror(text: str, path: str, mirrored: str) -> None:
    image = imagerefs.parse(text)
    assert (image.text, image.path) == (text, path)
    assert image.within("m.example").pulled == mirrored
    assert image.within(None) == image


def test_a_reference_changes_only_where_it_stands_alone() -> None:
    changes = {"a/b:1": "m.example/a/b:1", "a/b:1.2": "m.example/a/b:1.2"}
    text = "image: a/b:1\nx/a/b:1 a/b:1.2 a/b:1.2.3 a/b:1@sha256:0 'a/b:1'"
    assert imagerefs.replaced(text, changes) == (
        "image: m.example/a/b:1\nx/a/b:1 m.example/a/b:1.2 a/b:1.2.3 a/b:1@sha256:0 'm.example/a/b:1'"
    )


def test_two_images_of_one_name_in_the_mirror_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"one name in m\.example: .*quay\.io/fairway"):
        airgapped.build(
            tmp_path / "out", registry="m.example", others=["quay.io/fairway/server:0.1.0"]
        )
    assert not list(tmp_path.iterdir())


def test_an_installed_fairway_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(errors.PlatformError, match=r"helm/fairway is not in .*run `make setup`"):
        airgapped.build(tmp_path / "out", clone=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--registry", "https://m.example"], f"'https://m.example' is no registry: {REGISTRY}"),
        (["--registry", "fairway/mirror"], f"'fairway/mirror' is no registry: {REGISTRY}"),
        (["--registry", "m.example/a:1"], "is no registry"),
        (
            ["--image", "fairway/drift"],
            f"'fairway/drift' names no image that stays the same: {STAYS}",
        ),
        (["--image", "fairway/drift:latest"], STAYS),
        (["--digests", "few.txt", "--pin"], "--pin and --digests contradict: give one"),
        (["--digests", "none.txt"], "'none.txt' does not exist"),
        (
            ["--digests", "bad.txt"],
            "bad.txt, line 2: 'fairway/server' names no image with its digest",
        ),
        (
            ["--digests", "few.txt"],
            "few.txt has no digest of fairway/operator:0.1.0: wanted a line",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "bad.txt").write_bytes(b"# \xff\nfairway/server\n")
    (tmp_path / "few.txt").write_text(f"fairway/monitor:0.1.0@{DIGEST}\n")
    done = fairway("bundle", "out", *arguments, where=tmp_path)
    assert_one_sentence(done, status=2, words=words)
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_replaced_and_any_other_folder_is_left(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "SHA256SUMS").write_text("of something else")
    assert_one_sentence(
        fairway("bundle", "mine", where=tmp_path), status=2, words="holds none of bundle.json"
    )
    assert [path.name for path in mine.iterdir()] == ["SHA256SUMS"]
    airgapped.build(tmp_path / "old", registry=MIRROR)
    airgapped.build(tmp_path / "old")
    assert MIRROR.encode() not in contents(tmp_path / "old")["values.yaml"]


@pytest.mark.cluster
def test_helm_renders_the_packed_chart_with_the_mirrors_images(binaries: Path, moved: Path) -> None:
    done = subprocess.run(
        [
            *(binaries / "helm", "template", "fairway", moved / "charts" / "fairway-0.1.0.tgz"),
            *("--include-crds", "--values", moved / "values.yaml"),
            "--set=prometheus.url=http://prometheus.example:9090",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = rendering.objects(done.stdout)
    assert rendering.one(found, "CustomResourceDefinition", "modeldeployments.fairway.dev")
    assert in_yaml(found) == images(moved) - {f"{MIRROR}/fairway/pipeline@{DIGEST}"}


@pytest.mark.cluster
@pytest.mark.parametrize("overlay", ["kind", "production", "staging"])
def test_kubectl_reads_the_bundled_overlays(binaries: Path, moved: Path, overlay: str) -> None:
    done = subprocess.run(
        [binaries / "kubectl", "kustomize", moved / "manifests" / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = in_yaml(rendering.objects(done.stdout))
    assert found == images(moved) - {f"{MIRROR}/fairway/pipeline@{DIGEST}"}


@pytest.mark.cluster
def test_a_registry_tells_the_digest_of_what_it_has(tmp_path: Path) -> None:
    with registries.serving(tmp_path) as host:
        environment = registries.login(host)
        there = oci.Repository(f"oci://{host}/ml/drift", tag="1", environment=environment)
        there.finish()
        image = imagerefs.parse(f"{host}/ml/drift:1")
        digest = registrydigests.ask(image, environment=environment)
        content = registry.Registry(host, "ml/drift", environment=environment)
        asked = content.answered(
            f"{content.base}/manifests/{digest}", headers={"accept": registrydigests.ACCEPT}
        )
        assert files.digest_bytes(asked.read()) == digest
        with pytest.raises(errors.AddressError, match=r"drift:2 cannot be asked for: .*--digests"):
            registrydigests.ask(imagerefs.parse(f"{host}/ml/drift:2"), environment=environment)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("redis:7", ("registry-1.docker.io", "library/redis")),
        ("fairway/server:1", ("registry-1.docker.io", "fairway/server")),
        ("docker.io/fairway/server:1", ("registry-1.docker.io", "fairway/server")),
        ("ghcr.io/fairway/pipeline:1", ("ghcr.io", "fairway/pipeline")),
    ],
)
def test_a_name_without_a_host_is_asked_where_container_runtimes_do(
    name: str, place: tuple[str, str]
) -> None:
    assert registrydigests.place(imagerefs.parse(name)) == place
