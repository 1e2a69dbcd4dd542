"""`python -m tests.cluster up | down | run -- COMMAND`: one command up, one down, or a command with
a cluster that ends with it."""

import os
import subprocess
import sys

from tests.cluster import cluster, places


def main(arguments: list[str]) -> int:
    match arguments:
        case ["up"]:
            cluster.up(bound=False)
            print(f"export KUBECONFIG={places.KUBECONFIG}")
            return 0
        case ["down"]:
            print("the cluster is gone" if cluster.down() else "no cluster ran")
            return 0
        case ["run", "--", *command] if command:
            theirs = cluster.running() is not None
            cluster.up(bound=True)
            try:
                return subprocess.run(
                    command, env={**os.environ, "KUBECONFIG": str(places.KUBECONFIG)}, check=False
                ).returncode
            finally:
                if not theirs:
                    cluster.down()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
