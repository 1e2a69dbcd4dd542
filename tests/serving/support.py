"""A small packaged model, a real `bentoml serve` process around it, and a real receiver of its
events."""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from fairway import artifacts
from fairway.config import sections
from fairway.model.schema import Feature
from fairway.packaging import package
from fairway.serving import command

SRC = Path(__file__).parents[2] / "src"
FEATURES = ("age", "hours", "sector")
SCHEMA = {
    "classes": ["no", "yes"],
    "features": [
        {"name": "age", "kind": "number", "range": [17, 90]},
        {"name": "hours", "kind": "number", "range": [1, 99], "nullable": True},
        {"name": "sector", "kind": "category", "categories": ["private", "state"]},
    ],
    "preprocessing": {
        "age": [{"op": "scale", "mean": 40.0, "std": 10.0}],
        "hours": [{"op": "impute", "value": 40.0}, {"op": "scale", "mean": 40.0, "std": 10.0}],
    },
}


def onnx_model(path: Path, *, seed: int = 0, fragile: bool = False) -> Path:
    """Write numbers [n, 2] -> Gemm -> Softmax; a fragile graph looks the first number up in a table
    of 8, and fails beyond."""
    weights = np.random.default_rng(seed).normal(size=(2, 2)).astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Gemm", ["numbers", "w", "b"], ["logits"]),
        node("Softmax", ["logits"], ["soft"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.zeros(2, dtype=np.float32), "b"),
    ]
    if fragile:
        table = np.zeros((8, 2), dtype=np.float32)
        constants += [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array(0, dtype=np.int64), "first"),
        ]
        nodes += [
            node("Gather", ["numbers", "first"], ["column"], axis=1),
            node("Cast", ["column"], ["index"], to=TensorProto.INT64),
            node("Gather", ["table", "index"], ["found"], axis=0),
            node("Add", ["soft", "found"], ["probabilities"]),
        ]
    else:
        nodes.append(node("Identity", ["soft"], ["probabilities"]))
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        for name in ("numbers", "probabilities")
    ]
    graph = helper.make_graph(nodes, "tiny", tensors[:1], tensors[1:], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


def packaged(
    folder: Path,
    *,
    name: str = "income",
    seed: int = 0,
    fragile: bool = False,
    also: Sequence[dict[str, object]] = (),
) -> artifacts.Package:
    """Return a package whose clients must send the features `also` beside ours."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.json").write_text(
        json.dumps({**SCHEMA, "features": [*SCHEMA["features"], *also]})
    )
    model = onnx_model(folder / "model.onnx", seed=seed, fragile=fragile)
    return package.import_onnx(
        model, schema=folder / "schema.json", name=name, out=folder / "store"
    )


def packaged_numbers(folder: Path, *, slope: float, spread: float, off: float = 0.0) -> Path:
    """Return a model that answers `slope` for every ten years above 40, and is off by so much."""
    folder.mkdir(parents=True)
    given, answered = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("numbers", 2), ("value", 1))
    )
    constants = [
        numpy_helper.from_array(np.array([[slope], [0.0]], dtype=np.float32), "w"),
        numpy_helper.from_array(np.array([off], dtype=np.float32), "b"),
    ]
    gemm = helper.make_node("Gemm", ["numbers", "w", "b"], ["value"])
    graph = helper.make_graph([gemm], "tiny", [given], [answered], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        folder / "model.onnx",
    )
    kept = {name: value for name, value in SCHEMA.items() if name != "classes"}
    schema = {**kept, "target": "price", "task": "regression", "range": [-spread / 2, spread / 2]}
    (folder / "schema.json").write_text(json.dumps(schema))
    made = package.import_onnx(
        folder / "model.onnx", schema=folder / "schema.json", name="income", out=folder / "store"
    )
    return Path(made.path)


def features(*declared: Mapping[str, object]) -> dict[str, Feature]:
    """Return the features of a schema by name."""
    return {feature.name: feature for feature in map(Feature.from_json, declared)}


def tensors(age: list[object], hours: list[object], sector: list[object]) -> dict[str, object]:
    shape = [len(age)]
    return {
        "inputs": [
            {"name": "age", "datatype": "FP64", "shape": shape, "data": age},
            {"name": "hours", "datatype": "INT64", "shape": shape, "data": hours},
            {"name": "sector", "datatype": "BYTES", "shape": shape, "data": sector},
        ]
    }


ONE = tensors([39], [40], ["state"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Return when the condition holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        select.select([], [], [], 0.02)


@dataclass
class Receiver:
    """Takes event batches over HTTP and keeps them; `status` is what it answers; it can go away and
    come back on its port."""

    port: int = field(default_factory=free_port)
    status: int = 202
    events: list[dict] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # as they came
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def open(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.bodies.append(body)
                batch = json.loads(body)
                status = receiver.status
                if status == 202:
                    receiver.events.extend(batch)
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def close(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@dataclass
class Server:
    """A `bentoml serve` child in a session of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    seconds: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def infer(self) -> str:
        return f"{self.url}/v2/models/income/infer"

    def wait_ready(self) -> "Server":
        started = time.monotonic()
        eventually(self._ready, seconds=60)
        self.seconds = time.monotonic() - started
        return self

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics").text

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill supervisor and workers with -9; BentoML gives each worker a session of its own, so a
        group would not do."""
        if self.process.poll() is None:
            supervisor = psutil.Process(self.process.pid)
            family = [supervisor, *supervisor.children(recursive=True)]
            supervisor.suspend()  # or it would start new workers for the dead ones
            for process in reversed(family):
                process.kill()
        self.process.wait(timeout=30)

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/v2/health/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


def serve(
    folder: Path,
    *,
    model: Path | str,
    collector: str = "",
    spool: Path | None = None,
    serving: sections.Serving | None = None,
    target: str = command.SERVICE,
    extra: dict[str, str] | None = None,
) -> Server:
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    environment = command.environment(
        package=Path(model),
        deployment="income",
        namespace="models",
        revision="0123456789ab",
        collector=collector,
        spool=spool,
        serving=serving or sections.Serving(reveal_revision=True),
        home=folder / "bentoml",
    )
    environment |= {"PYTHONPATH": str(SRC), **(extra or {})}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.argv(port, target=target),
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Server(process, port, log)
