"""A real S3 server (moto's), from an environment of its own."""

import contextlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import environments
from tests.monitoring import processes
from tests.serving import support

LOCK = Path(__file__).parents[1] / "cluster" / "s3.lock"
KEYS = {"access": "AKIAFAIRWAY", "secret": "a-secret-of-the-tests"}


@contextlib.contextmanager
def serving(
    log: Path, *, host: str = "127.0.0.1", port: int | None = None, within: tuple[str, ...] = ()
) -> Iterator[str]:
    """Give the endpoint of an S3 server without buckets; `within` are words to run it by, such as
    `nsenter`."""
    program, port = str(environments.built(LOCK) / "moto_server"), port or support.free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*within, program, "--host", "0.0.0.0", "--port", str(port)],
            stdout=output,
            stderr=output,
        )
    endpoint = f"http://{host}:{port}"
    try:
        processes.eventually(lambda: answers(endpoint), seconds=60)
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=30)


def client(endpoint: str) -> Any:
    """Return botocore's client of the server."""
    from botocore import session

    return session.Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["access"],
        aws_secret_access_key=KEYS["secret"],
    )


def variables(endpoint: str) -> dict[str, str]:
    """Return what makes every AWS tool ask this server, and no other place for credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEYS["access"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secret"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
