"""A tenant's pod that speaks as the gateway, to a real Prometheus that scrapes both."""

import contextlib
import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import errors
from fairway.platforms.kubernetes import prometheus
from fairway.platforms.local import sockets
from fairway.rollout import traffic

ROUTE = traffic.route(deployment="shop", stable="old", candidate="new", weight=25, mirror=0)
CLUSTER = "httproute/team-b/shop/rule/0/backend"
CLAIMED = 'namespace="envoy-gateway-system",job="envoy",pod="envoy-0"'
CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: envoy
    static_configs: [{{targets: ["127.0.0.1:{gateway}"], labels: {{namespace: envoy-gateway-system, pod: envoy-0}}}}]
  - job_name: tenants
    static_configs: [{{targets: ["127.0.0.1:{liar}"], labels: {{namespace: team-a, pod: liar-0}}}}]
"""


def counters(*, requests: int, errors: int, claimed: str = "") -> str:
    """Return what a proxy exports: of the candidate so many requests and errors, of stable 1,000
    and none."""
    lines = [f"envoy_server_uptime{{{claimed}}} 100"]
    for index, completed, failed in ((0, 1000, 0), (1, requests, errors)):
        labels = f'envoy_cluster_name="{CLUSTER}/{index}"' + (f",{claimed}" if claimed else "")
        lines += [
            f"envoy_cluster_upstream_rq_completed{{{labels}}} {completed}",
            f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="5",{labels}}} {failed}',
        ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def exported(text: str) -> Iterator[int]:
    """Return the port of a pod that exports the text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def scraping(folder: Path, **targets: int) -> Iterator[str]:
    """Return the address of a Prometheus that scrapes the gateway and the tenants' pods."""
    program, port = shutil.which("prometheus"), sockets.free_port()
    assert program is not None, (
        "there is no prometheus on PATH (Debian: apt-get install prometheus)"
    )
    (folder / "prometheus.yml").write_text(CONFIGURATION.format(**targets))
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def sample(url: str, **gateway: str) -> traffic.Sample:
    """Return the counts as soon as Prometheus has them, of two scrapes at least."""
    source, deadline = prometheus.Prometheus(url, gateway=gateway), time.monotonic() + 60
    while True:
        with contextlib.suppress(errors.Unavailable):
            found = source.sample(
                namespace="team-b",
                deployment="shop",
                route=ROUTE,
                thresholds=(),
                before=None,
                route_version="r1",
            )
            if found is not None:
                return found
        assert time.monotonic() < deadline, "Prometheus has no counts after a minute"
        time.sleep(0.2)


@pytest.mark.parametrize(
    "claimed", ["", CLAIMED], ids=["by name alone", "with the gateway's labels"]
)
def test_a_pod_that_exports_the_gateways_counters_is_not_believed(
    tmp_path: Path, claimed: str
) -> None:
    lie = counters(requests=5000, errors=0, claimed=claimed)
    with (
        exported(counters(requests=50, errors=20)) as gateway,
        exported(lie) as liar,
        scraping(tmp_path, gateway=gateway, liar=liar) as url,
    ):
        lied = sample(url, namespace="team-a")  # it is scraped, and would be believed
        assert (lied.candidate.requests, lied.candidate.errors) == (5000, 0)
        for label in ({"namespace": "envoy-gateway-system"}, {"job": "envoy"}):
            true = sample(url, **label)
            assert (true.stable.requests, true.candidate.requests, true.candidate.errors) == (
                1000,
                50,
                20,
            )
