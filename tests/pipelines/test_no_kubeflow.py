"""What answers at --host, and is no Kubeflow Pipelines: real servers of other things."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairway import errors
from fairway.cli import run_places
from fairway.pipelines import kubeflow, submit
from tests.pipelines import runs

PAGE, EMPTY, NOTHING = (200, b"<html>hello</html>"), (200, b"{}"), (404, b"no such page")
FOREIGN = "does not answer as Kubeflow Pipelines does .*: name its API with --host"


@pytest.fixture
def access(request: pytest.FixtureRequest) -> Iterator[kubeflow.KubeflowAccess]:
    """Access to a server that answers everything so."""
    status, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as the library names it

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield kubeflow.KubeflowAccess(host=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("access", "said"),
    [(PAGE, FOREIGN), (NOTHING, "refused: 404 no such page")],
    indirect=["access"],
    ids=["page", "nothing"],
)
def test_what_is_not_kubeflow_pipelines_is_said_at_once_and_once(
    access: kubeflow.KubeflowAccess, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pytest.raises(errors.PlatformError, match=said),
        run_places.there(access) as place,
    ):
        place.newest(deployment=None, limit=1)
    assert caplog.records == []


@pytest.mark.parametrize("access", [EMPTY], indirect=True, ids=["empty"])
def test_an_answer_without_what_was_made_is_no_run(access: kubeflow.KubeflowAccess) -> None:
    with pytest.raises(errors.PlatformError, match=FOREIGN):
        submit.submit(runs.settings(), access=access, asked=submit.Wishes())
    with pytest.raises(errors.PlatformError, match=FOREIGN), run_places.there(access) as place:
        place.cancel(place.find("income"))
