"""`--on kubernetes`: what is decided without a cluster - which platform is meant, and what goes
there."""

from pathlib import Path

import pytest
import yaml

from fairway.cli import options
from fairway.platforms.kubernetes import deployment
from tests.cli.running import FEW, assert_one_sentence, fairway
from tests.serving import support

CONFIGURATION = (
    "name: income\nnamespace: models\ndata: {source: csv, path: few.csv, target: income}\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return a folder with a configuration, and a package's folder and digest."""
    folder = tmp_path_factory.mktemp("kubernetes")
    (folder / "few.csv").write_text(FEW)
    (folder / "fairway.yaml").write_text(CONFIGURATION)
    made = support.packaged(folder / "model")
    return folder, made.path, made.digest


def test_a_deployment_goes_where_the_configuration_says_unless_on_says_otherwise(
    place: tuple[Path, str, str],
) -> None:
    file = place[0] / "fairway.yaml"
    local, remote = options.load(file, ()), options.load(file, ("platform.kind=kubernetes",))
    nowhere = options.Where(on=None, namespace=None, context=None)
    assert (nowhere.kind(local), nowhere.kind(remote)) == ("local", "kubernetes")
    assert (
        options.Where(on="kubernetes", namespace="models", context=None).kind(local) == "kubernetes"
    )
    assert options.Where(on="local", namespace=None, context=None).kind(remote) == "local"


def test_a_package_lies_in_the_store_under_its_digest_and_the_gateway_is_the_configurations(
    place: tuple[Path, str, str],
) -> None:
    folder, package, digest = place
    done = fairway(
        "render",
        package,
        "--set",
        "platform.store=s3://models/income/",
        "--set",
        "platform.gateways=[edge/public]",
        "--set",
        "platform.hostnames=[income.test]",
        where=folder,
    )
    spec = yaml.safe_load(done.stdout)["spec"]
    assert spec["model"]["uri"] == f"s3://models/income/{digest.removeprefix('sha256:')}"
    assert spec["gateway"] == {
        "parentRefs": [{"name": "public", "namespace": "edge"}],
        "hostnames": ["income.test"],
    }


def test_a_registry_is_a_store_where_the_digest_is_the_tag(place: tuple[Path, str, str]) -> None:
    config = options.load(place[0] / "fairway.yaml", ("platform.store=oci://registry.test/models",))
    tag = place[2].removeprefix("sha256:")
    assert deployment.place(config, digest=place[2]) == f"oci://registry.test/models:{tag}"


MISTAKES = {
    "a namespace without a cluster": (
        ("rollout", "status", "--namespace", "models"),
        2,
        "add --on kubernetes",
    ),
    "a context without a cluster": (
        ("deploy", "PACKAGE", "--context", "prod"),
        2,
        "add --on kubernetes",
    ),
    "an address without a cluster": (
        ("deploy", "PACKAGE", "--uri", "s3://models/income"),
        2,
        "add --on kubernetes",
    ),
    "no place for packages": (
        ("deploy", "PACKAGE", "--on", "kubernetes"),
        2,
        "platform.store is not set",
    ),
    "a place that is none": (
        ("deploy", "PACKAGE", "--on", "kubernetes", "--set", "platform.store=models"),
        2,
        "platform.store is 'models'",
    ),
    "no cluster": (
        ("deploy", "PACKAGE", "--on", "kubernetes", "--uri", "s3://models/income"),
        2,
        "there is no cluster to speak to",
    ),
    "no cluster for a command": (
        ("rollout", "pause", "--set", "platform.kind=kubernetes"),
        2,
        "set KUBECONFIG",
    ),
    "no such context": (
        ("rollout", "status", "--on", "kubernetes", "--context", "nowhere"),
        2,
        "there is no cluster to speak to",
    ),
    "no duration": (
        ("rollout", "watch", "--on", "kubernetes", "--timeout", "soon"),
        2,
        "--timeout 'soon': wanted a duration",
    ),
    "force without a reason": (
        ("rollout", "promote", "--force", "--on", "kubernetes"),
        2,
        "say why with --reason",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gets_one_sentence(
    case: str, place: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, package, _ = place
    monkeypatch.setenv("KUBECONFIG", str(folder / "nowhere"))
    arguments, status, words = MISTAKES[case]
    done = fairway(
        *(package if argument == "PACKAGE" else argument for argument in arguments), where=folder
    )
    assert_one_sentence(done, status=status, words=words)
