"""A package published on a web server, in a bucket and in a registry: servers of this process that
can be told to fail."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

TOKEN, LOGIN = "a-token", base64.b64encode(b"reader:secret").decode()


@dataclass
class Published:
    """What is served, by path; `faults` are statuses answered before (0: the connection is cut in
    mid-file)."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # path, query, authorization
    wanted: str = ""  # the authorization that everything needs, "" for none
    challenge: str = ""
    url: str = ""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@contextlib.contextmanager
def serving() -> Iterator[Published]:
    published = Published()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            authorization = self.headers.get("authorization", "")
            published.asked.append((place.path, place.query, authorization))
            if place.path == "/token":
                self.answer(
                    200 if authorization == f"Basic {LOGIN}" else 401,
                    json.dumps({"token": TOKEN}).encode(),
                )
            elif published.wanted and not authorization.startswith(published.wanted):
                self.answer(401, b"", {"www-authenticate": published.challenge})
            elif published.faults and self.command == "GET":
                self.fail(published.faults.pop(0), place.path)
            elif place.path in published.redirects:
                self.answer(302, b"", {"location": published.redirects[place.path]})
            elif place.path in published.files:
                self.answer(200, published.files[place.path])
            else:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        do_HEAD = do_GET  # noqa: N815 - the name that the library calls

        def fail(self, status: int, path: str) -> None:
            if status:
                self.answer(status, b"")
                return
            content = published.files[path]
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True

        def answer(
            self, status: int, content: bytes, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {"content-length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        published.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()


def put(published: Published, folder: Path, *, at: str) -> None:
    """Serve the files of the folder below a path: on a web server, or as a bucket."""
    published.files |= {
        f"{at}/{file.relative_to(folder)}": file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def push(published: Published, folder: Path, *, repository: str, tag: str) -> None:
    """Serve the files of the folder as a registry does after `oras push`."""
    layers = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        published.files[f"/v2/{repository}/blobs/{digest}"] = content
        layers.append(
            {
                "digest": digest,
                "size": len(content),
                "annotations": {"org.opencontainers.image.title": str(file.relative_to(folder))},
            }
        )
    published.files[f"/v2/{repository}/manifests/{tag}"] = json.dumps(
        {"schemaVersion": 2, "layers": layers}
    ).encode()
