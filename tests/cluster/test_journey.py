"""The README's way on a cluster, command by command, by a user with the documented role, while
requests flow."""

import json
import os
from pathlib import Path

import pytest
import yaml

from tests import test_readme as readme
from tests.cluster import binaries, images, places, world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
USER = "jo"


@pytest.fixture(scope="module")
def folder(fairway, tmp_path_factory) -> Path:
    """Return a clone's folder with the `values.yaml` that the README speaks of."""
    where = tmp_path_factory.mktemp("clone")
    (where / "helm").symlink_to(places.ROOT / "helm")
    values = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    image = {"tag": images.tag()}
    tags = {
        "operator": {**values["operator"], "image": image},
        "monitor": {**values["monitor"], "image": image},
        "server": {"image": image, "seldonImage": image},
    }
    (where / "values.yaml").write_text(yaml.safe_dump({**values, **tags}))
    return where


@pytest.fixture(scope="module")
def environment(fairway, folder) -> dict[str, str]:
    """Return A, B that answers the same, and C that answers otherwise, where the README says they
    are."""
    store = world.store(fairway)
    made = {
        "A": world.package(folder / "A"),
        "B": world.package(folder / "B", licence="Apache-2.0"),
        "C": world.package(folder / "C", seed=5),
    }
    models = {name: store.put(package) for name, package in made.items()}
    return {
        "STORE": models["A"]["uri"].rpartition("/")[0],
        **{name: model["digest"].removeprefix("sha256:") for name, model in models.items()},
    }


@pytest.fixture(scope="module")
def user(fairway, folder) -> Path:
    """Return the kubeconfig of somebody who may only what `fairway-editor` allows, in one
    namespace."""
    fairway.kubectl("--namespace=models", "create", "serviceaccount", USER, check=False)
    fairway.kubectl(
        "--namespace=models",
        "create",
        "rolebinding",
        USER,
        "--clusterrole=fairway-editor",
        f"--serviceaccount=models:{USER}",
        check=False,
    )
    token = fairway.kubectl(
        "--namespace=models", "create", "token", USER, "--duration=1h"
    ).stdout.strip()
    config = json.loads(
        fairway.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").stdout
    )
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "user.kubeconfig"
    path.write_text(json.dumps(config))
    assert (
        Cluster(path)
        .kubectl("auth", "can-i", "delete", "pods", "--namespace=models", check=False)
        .stdout.strip()
        == "no"
    )
    return path


def play(blocks: list[readme.Block], *, where: Path, kubeconfig: Path, **variables: str) -> str:
    """Run blocks of the README, and gives what they printed."""
    path = f"{binaries.folder()}{os.pathsep}{os.environ['PATH']}"
    exports = "".join(
        f"export {name}={value}\n"
        for name, value in {**variables, "KUBECONFIG": str(kubeconfig), "PATH": path}.items()
    )
    status, printed = readme.run(
        exports + "\n".join(block.text for block in blocks), where=where, timeout=600
    )
    assert status == 0, printed
    return printed


def test_the_readmes_way_promotes_the_better_revision_without_a_failed_request_and_takes_the_bad_one_back(
    fairway, folder, environment, user
):
    play(readme.GROUPS["cluster-admin"], where=folder, kubeconfig=fairway.kubeconfig)
    fairway.kubectl("--namespace=models", "delete", "md", "income", "--ignore-not-found")
    first, *rest = readme.GROUPS["cluster-user"]
    play([first], where=folder, kubeconfig=user, **environment)
    with world.traffic(fairway, "income", host="income.example.com") as traffic:
        printed = play(rest, where=folder, kubeconfig=user, **environment)
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])
    ended = world.status(fairway, "income")
    assert (ended["phase"], ended["weight"], ended["stable"]["digest"]) == (
        "RolledBack",
        0,
        f"sha256:{environment['B']}",
    )
    assert "shadow answers differ from stable's" in ended["reason"]
    table = next(line for line in printed.splitlines() if line.startswith("income "))
    assert "RolledBack" in table
    assert "shadow answers differ" in table
    story = [
        event
        for event in (
            "Started",
            "Ready",
            "Step",
            "Promoting",
            "Baking",
            "Promoted",
            "RollingBack",
            "RolledBack",
        )
        if event in printed
    ]
    assert len(story) == 8, printed
    phases = [row["phase"] for row in ended["history"]]
    assert phases == ["Canary", "Canary", "Canary", "Promoting", "Stable", "RollingBack"]
    assert {revision for _, revision in traffic.counts} == {
        ""
    }  # answers do not tell it: C served nobody, as the phases say
