"""Runs on a cluster, page by page as the API gives them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from fairway.cli import run_places
from fairway.pipelines import kubeflow

RUNS = 250


def run(number: int) -> dict[str, object]:
    """Return a run as the API gives it; every hundredth is of the deployment `rare`."""
    name = "rare" if number % 100 == 99 else "usual"
    parameters = {"config": json.dumps({"name": name})}
    return {
        "run_id": f"{number}",
        "display_name": f"{name}-{number}",
        "state": "SUCCEEDED",
        "runtime_config": {"parameters": parameters},
    }


class RunsApi(BaseHTTPRequestHandler):
    """The API's list of runs, by its specification: a page, and the token of the next one."""

    pages: list[int]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        answer: dict[str, object] = {"multi_user": False}
        if url.path.endswith("/runs"):
            asked = {key: values[0] for key, values in parse_qs(url.query).items()}
            size, first = int(asked["page_size"]), int(asked.get("page_token") or 0)
            self.pages.append(size)
            until = min(first + size, RUNS)
            more = {"next_page_token": str(until)} if until < RUNS else {}
            answer = {"runs": [run(number) for number in range(first, until)], **more}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest's output is for the tests."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    RunsApi.pages = []
    with ThreadingHTTPServer(("127.0.0.1", 0), RunsApi) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def newest(server: ThreadingHTTPServer, deployment: str | None, *, limit: int) -> list[str]:
    access = kubeflow.KubeflowAccess(host=f"http://127.0.0.1:{server.server_port}")
    with run_places.there(access) as place:
        return [one["run"] for one in place.newest(deployment=deployment, limit=limit)]


def test_the_newest_runs_of_one_deployment_are_found_behind_those_of_others(
    server: ThreadingHTTPServer,
) -> None:
    assert newest(server, "rare", limit=20) == ["99", "199"]
    assert newest(server, "rare", limit=1) == ["99"]


def test_no_more_is_asked_for_than_is_shown(server: ThreadingHTTPServer) -> None:
    assert newest(server, None, limit=20) == [str(number) for number in range(20)]
    assert RunsApi.pages == [20]
