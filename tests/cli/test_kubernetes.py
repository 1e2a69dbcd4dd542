"""`--on kubernetes`: what is decided without a cluster - which platform is meant, when a rollout has ended, what is told of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fairway import errors
from fairway.cli import cluster, options
from fairway.platforms.kubernetes import client, deployment
from tests.cli.running import FEW, assert_one_sentence, fairway
from tests.serving import support

CONFIGURATION = "name: income\nnamespace: models\ndata: {source: csv, path: few.csv, target: income}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return a folder with a configuration, and a package's folder and digest."""
    folder = tmp_path_factory.mktemp("kubernetes")
    (folder / "few.csv").write_text(FEW)
    (folder / "fairway.yaml").write_text(CONFIGURATION)
    made = support.packaged(folder / "model")
    return folder, made.path, made.digest


def found(*holding: str, generation: int = 2, observed: int = 2, paused: bool = False, **status: Any) -> dict[str, Any]:
    """Return a ModelDeployment whose status has the conditions; Accepted holds unless told otherwise."""
    conditions = [
        {"type": type, "status": "True" if type in holding else "False"} for type in ("Accepted", "Ready", "Stalled")
    ]
    return {
        "metadata": {"name": "income", "namespace": "models", "generation": generation},
        "spec": {"paused": paused},
        "status": {"observedGeneration": observed, "conditions": conditions, "reason": "because", **status},
    }


# -- when it has ended --------------------------------------------------------------------------------------------------

SETTLED = {
    "serves": (found("Accepted", "Ready", phase="Stable"), True),
    "serves what was asked for before": (found("Accepted", "Ready", phase="Stable", observed=1), False),
    "moves": (found("Accepted", phase="Canary"), False),
    "is being taken back": (found("Accepted", "Stalled", phase="RollingBack"), False),
    "was taken back": (found("Accepted", "Stalled", phase="RolledBack"), True),
    "asks for a person": (found("Accepted", "Stalled", phase="Paused"), True),
    "was never looked at": ({"metadata": {"generation": 1}, "spec": {}}, False),
}


@pytest.mark.parametrize("case", SETTLED)
def test_a_rollout_has_ended_where_nothing_moves_without_a_person(case: str) -> None:
    resource, settled = SETTLED[case]
    assert client.settled(resource) is settled


ENDS = {
    "rolled back": (found("Accepted", "Stalled", phase="RolledBack"), errors.Refused, "rolled back: because"),
    "refused before and asked for again": (found("Accepted", "Stalled", phase="Stable"), errors.Refused, "rolled back"),
    "impossible": (found("Stalled", phase="Stable"), errors.PlatformError, "cannot be followed: because"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_rollout_that_ended_badly_says_why(case: str) -> None:
    resource, kind, words = ENDS[case]
    with pytest.raises(kind, match=words):
        cluster.verdict(resource)


@pytest.mark.parametrize(
    "resource",
    [found("Accepted", "Stalled", phase="Paused"), found("Accepted", "Stalled", phase="Stable", paused=True)],
)
def test_a_pause_is_no_failure_but_is_said(resource: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    cluster.verdict(resource)
    assert capsys.readouterr().err.startswith("paused: ")


# -- what is told -------------------------------------------------------------------------------------------------------


def test_a_change_is_told_at_once_and_a_reason_that_counts_on_after_a_while() -> None:
    lines: list[str] = []
    times = iter((0.0, 1.0, 2.0, 3.0, 4.0, 40.0, 41.0))
    tell = cluster.teller(lines.append, clock=lambda: next(times))
    for holding, status in (
        ("Accepted", {"weight": 5, "reason": "ln e = 1.25"}),
        ("Accepted", {"weight": 5, "reason": "ln e = 2"}),
        ("Accepted", {"weight": 25, "reason": "ln e = 2"}),
        ("Accepted", {"weight": 25, "reason": "enough", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough, and refused", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough after all", "verdict": "promote"}),
        ("Stalled", {"weight": 25, "reason": "enough, they say", "verdict": "promote"}),
    ):
        tell(found(holding, phase="Canary", **status))
    assert [" ".join(line.split()) for line in lines] == [
        "Canary 5 % - ln e = 1.25",
        "Canary 25 % - ln e = 2",
        "Canary 25 % promote enough",
        "Canary 25 % promote enough, and refused",
        "Canary 25 % promote enough after all",
    ]


def test_a_resource_that_no_operator_saw_has_a_record_too() -> None:
    record = cluster.record({"metadata": {"name": "income", "namespace": "models"}, "spec": {}})
    assert (record["phase"], record["weight"], record["reason"]) == (None, 0, "no operator has looked at it yet")


# -- which platform, and what goes there --------------------------------------------------------------------------------


def test_a_deployment_goes_where_the_configuration_says_unless_on_says_otherwise(place: tuple[Path, str, str]) -> None:
    file = place[0] / "fairway.yaml"
    local, remote = options.load(file, ()), options.load(file, ("platform.kind=kubernetes",))
    nowhere = options.Where(on=None, namespace=None, context=None)
    assert (nowhere.kubernetes(local), nowhere.kubernetes(remote)) == (False, True)
    assert options.Where(on="kubernetes", namespace="models", context=None).kubernetes(local)
    assert not options.Where(on="local", namespace=None, context=None).kubernetes(remote)


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
    assert spec["gateway"] == {"parentRefs": [{"name": "public", "namespace": "edge"}], "hostnames": ["income.test"]}


def test_a_registry_is_a_store_where_the_digest_is_the_tag(place: tuple[Path, str, str]) -> None:
    config = options.load(place[0] / "fairway.yaml", ("platform.store=oci://registry.test/models",))
    assert deployment.place(config, digest=place[2]) == "oci://registry.test/models"


MISTAKES = {
    "a namespace without a cluster": (("rollout", "status", "--namespace", "models"), 2, "add --on kubernetes"),
    "a context without a cluster": (("deploy", "PACKAGE", "--context", "prod"), 2, "add --on kubernetes"),
    "an address without a cluster": (("deploy", "PACKAGE", "--uri", "s3://models/income"), 2, "add --on kubernetes"),
    "no place for packages": (("deploy", "PACKAGE", "--on", "kubernetes"), 2, "platform.store is not set"),
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
    "no cluster for a command": (("rollout", "pause", "--set", "platform.kind=kubernetes"), 2, "set KUBECONFIG"),
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
    "force without a reason": (("rollout", "promote", "--force", "--on", "kubernetes"), 2, "say why with --reason"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gets_one_sentence(case: str, place: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, package, _ = place
    monkeypatch.setenv("KUBECONFIG", str(folder / "nowhere"))
    arguments, status, words = MISTAKES[case]
    done = fairway(*(package if argument == "PACKAGE" else argument for argument in arguments), where=folder)
    assert_one_sentence(done, status=status, words=words)
