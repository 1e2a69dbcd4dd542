"""A real MLflow server, in an environment of its own."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import environments
from tests.monitoring import processes
from tests.packaging import buckets
from tests.serving import support

LOCK = Path(__file__).with_name("packaging") / "mlflow.lock"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Return the address of a server that keeps runs, models and artifacts in the folder."""
    programs, address = environments.built(LOCK), f"http://127.0.0.1:{support.free_port()}"
    asked = ["--backend-store-uri", "sqlite:///registry.db", "--artifacts-destination", "kept"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(programs / "mlflow", "server", "--workers", "1", *asked),
                *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # six processes that nobody needs here
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )
    try:
        processes.eventually(lambda: buckets.answers(f"{address}/health"), seconds=200)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)
