"""What more than one folder of tests needs: the programs of a cluster, and the cluster itself."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.cluster import binaries as programs
from tests.cluster import cluster as clusters
from tests.cluster import places, stack

settings.register_profile("busy", deadline=None)  # an example may wait for a core
settings.load_profile("busy")


@pytest.fixture(scope="session")
def binaries() -> Path:
    """Return the folder with kubectl, helm, kind and their kin."""
    return programs.folder()


@pytest.fixture(scope="session")
def cluster() -> clusters.Cluster:
    """Return the cluster that runs: the one KUBECONFIG names, else the harness's own (`make
    test-cluster` brings it up)."""
    found = clusters.external() or (
        clusters.Cluster(places.KUBECONFIG, places.RUN) if clusters.running() else None
    )
    assert found is not None, "no cluster runs: `make test-cluster`, or `make cluster` first"
    return found


@pytest.fixture(scope="session")
def gateway(cluster: clusters.Cluster) -> clusters.Cluster:
    """Return the cluster with Envoy Gateway, a Gateway and Prometheus on it."""
    stack.install(cluster)
    return cluster


@pytest.fixture(scope="session")
def fairway(gateway: clusters.Cluster) -> clusters.Cluster:
    """Return the cluster with fairway installed by its chart, as a user would."""
    stack.install_fairway(gateway)
    return gateway


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return one run of the training pipeline that the gate lets through, shared: it takes as long
    as the other tests of it together."""
    from tests.pipelines import runs

    return runs.promote(Path(tmp_path_factory.mktemp("promoted")) / "python3-home")
