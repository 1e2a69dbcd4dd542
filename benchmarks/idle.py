"""`python -m benchmarks.idle [--deployments N] [--seconds S]` measures what the operator costs
while N ModelDeployments serve and nothing moves.

Everything is real but the model servers: this machine could not run so many, so the controllers
that make pods are stopped, and the Deployments are told that their pods are available. The
operator, the API server, Envoy Gateway and its 200 routes are as they are. Needs what `make
test-cluster` needs.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster import cluster as clusters
from tests.cluster import stack, world

MODEL = {"uri": "https://example.com/packages/income", "digest": f"sha256:{'ab' * 32}"}
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = {"cores": 0.1, "MiB": 300.0}  # what an operator of 200 idle ModelDeployments may cost


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.idle", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--deployments", type=int, default=200, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=120.0, metavar="S", help="how long it is watched"
    )
    options = parser.parse_args(arguments)
    theirs = clusters.running() is not None
    cluster = clusters.up(bound=not theirs)
    try:
        stack.install(cluster)
        stack.install_fairway(cluster)
        return _measure(cluster, count=options.deployments, seconds=options.seconds)
    finally:
        if not theirs:
            clusters.down()


def _measure(cluster: clusters.Cluster, *, count: int, seconds: float) -> int:
    controllers = cluster.pid("kube-controller-manager")
    os.kill(controllers, signal.SIGSTOP)
    try:
        names = [f"idle-{number}" for number in range(count)]
        world.apply(
            cluster,
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [world.resource(name, MODEL) for name in names],
            },
        )
        _until(
            lambda: _make_available(cluster) >= count and _stable(cluster, names) == count,
            seconds=900,
            what=f"{count} in service",
        )
        pid = _operator()
        before, began = _cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)  # what is measured is an idle while
        cores, memory = (
            (_cpu_seconds(pid) - before) / (time.monotonic() - began),
            _resident_mebibytes(pid),
        )
        print(
            f"{count} ModelDeployments in service, nothing moves: the operator takes {cores:.4f} cores over "
            f"{seconds:.0f} s (limit {LIMITS['cores']}), "
            f"{memory:.0f} MiB (limit {LIMITS['MiB']:.0f})"
        )
        return 0 if cores <= LIMITS["cores"] and memory <= LIMITS["MiB"] else 1
    finally:
        cluster.kubectl("--namespace", world.NAMESPACE, "delete", "md", "--all", "--wait=false")
        os.kill(controllers, signal.SIGCONT)


def _make_available(cluster: clusters.Cluster) -> int:
    """Tell every Deployment that its pods are available; gives how many there are."""
    found = json.loads(
        cluster.kubectl(
            "--namespace", world.NAMESPACE, "get", "deployments", "--output=json"
        ).stdout
    )["items"]
    ours = [one for one in found if one["metadata"]["name"].startswith("idle-")]
    for one in ours:
        replicas, generation = one["spec"].get("replicas", 1), one["metadata"]["generation"]
        wanted = {"observedGeneration": generation} | dict.fromkeys(
            ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas
        )
        if wanted.items() - one.get("status", {}).items():
            cluster.kubectl(
                "--namespace",
                world.NAMESPACE,
                "patch",
                "deployment",
                one["metadata"]["name"],
                "--subresource=status",
                "--type=merge",
                "--patch",
                json.dumps({"status": wanted}),
            )
    return len(ours)


def _stable(cluster: clusters.Cluster, names: list[str]) -> int:
    found = json.loads(
        cluster.kubectl("--namespace", world.NAMESPACE, "get", "md", "--output=json").stdout
    )["items"]
    return sum(
        1
        for one in found
        if one["metadata"]["name"] in names and one.get("status", {}).get("phase") == "Stable"
    )


def _until(true: Any, *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            sys.exit(f"not {what} after {seconds:.0f} s")
        time.sleep(1)


def _operator() -> int:
    """Return the operator's process, as this machine sees it: of all that are called so, the
    newest."""
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"fairway\0operator\0" in path.read_bytes()
    ]
    return max(found)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_mebibytes(pid: int) -> float:
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
