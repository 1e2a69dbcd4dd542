"""Where the harness keeps things: caches that outlive a checkout, and one folder a running cluster."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(
    os.environ.get("FAIRWAY_CLUSTER_CACHE") or Path.home() / ".cache" / "fairway" / "cluster"
)
RUN = ROOT / ".cluster"  # of the cluster that runs: certificates, logs, the node's disks
KUBECONFIG = RUN / "kubeconfig"
