"""kopf goes on whatever an object of some tenant looks like."""

import asyncio
import http.server
import json
import threading
from typing import Any

import kopf
import pytest
from kopf._cogs.clients import api as kopf_api
from kopf._cogs.clients import auth

from fairway.operator import session

POISON = (
    b'{"type": "ADDED", "object": {"metadata": {"name": "bad"}, "spec": '
    + b'{"a": ' * 1500
    + b"1"
    + b"}" * 1500
    + b"}}"
)
GOOD = b'{"type": "ADDED", "object": {"metadata": {"name": "good"}, "spec": {"a": 1}}}'


@pytest.fixture
def server():
    """Return the address of a server that lists and watches one object that is nested too deep, and
    one that is not."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            watches = "watch" in self.path
            body = (
                POISON + b"\n" + GOOD + b"\n"
                if watches
                else b'{"items": [' + POISON + b", " + GOOD + b"]}"
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


def test_a_list_and_a_watch_give_every_object_though_one_is_nested_without_end(server, monkeypatch):
    async def ask() -> tuple[list[Any], list[Any]]:
        info = kopf.ConnectionInfo(server=server, insecure=True)
        monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: info)
        context = auth.APIContext(await session.login())
        common: dict[str, Any] = {
            "settings": kopf.OperatorSettings(),
            "logger": __import__("logging").getLogger("test"),
            "context": context,
        }
        listed = await (await kopf_api.request.__wrapped__("get", "/list", **common)).json()
        response = await kopf_api.request.__wrapped__("get", "/watch", **common)
        watched = [json.loads(line) async for line in kopf_api.iter_jsonlines(response.content)]
        await context.close()
        return listed["items"], watched

    for found in asyncio.run(ask()):
        assert [one["object"]["metadata"]["name"] for one in found] == ["bad", "good"]
        assert found[1]["object"]["spec"] == {"a": 1}
