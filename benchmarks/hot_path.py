"""Requests a second of one served model: fairway's path against `@bentoml.api`, both with BentoML,
one worker, the same graph."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
import onnx
import orjson
import psutil
import yaml
from onnx import TensorProto, helper, numpy_helper

from fairway.config import sections
from fairway.packaging import package
from fairway.platforms.local import sockets
from fairway.serving import command

CLIENTS, FEATURES = 8, 8


def measure(*, seconds: float, rounds: int) -> list[dict[str, object]]:
    """Return one row a side: median requests a second over alternating rounds, p50 and p99 in ms,
    CPU microseconds a request."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, made = _model(folder)
        ours, plain = sockets.free_port(), sockets.free_port()
        config = command.environment(
            package=Path(made.path),
            deployment="bench",
            namespace="default",
            revision="bench",
            collector="",
            spool=None,
            serving=sections.Serving(),
            home=folder / "ours",
        )
        theirs = {
            "PLAIN_MODEL": str(model),
            "BENTOML_HOME": str(folder / "plain"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        argv = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "benchmarks.plain:Plain",
            "--host",
            "127.0.0.1",
            "--port",
            str(plain),
        ]
        sides = {
            "fairway": (
                command.argv(ours),
                config,
                f"http://127.0.0.1:{ours}/v2/models/bench/infer",
                _ours(),
            ),
            "@bentoml.api": (
                argv,
                theirs,
                f"http://127.0.0.1:{plain}/infer",
                orjson.dumps({"numbers": [[0.5] * FEATURES]}),
            ),
        }
        with open(os.devnull, "wb") as nowhere:
            servers = {
                name: subprocess.Popen(
                    side[0], env={**os.environ, **side[1]}, stdout=nowhere, stderr=nowhere
                )
                for name, side in sides.items()
            }
        try:
            return asyncio.run(_race(sides, servers, seconds=seconds, rounds=rounds))
        finally:
            for server in servers.values():
                server.terminate()
            for server in servers.values():
                server.wait(timeout=30)


async def _race(  # type: ignore[no-untyped-def]
    sides, servers, *, seconds: float, rounds: int
) -> list[dict[str, object]]:
    results: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in sides}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        for name, (_, _, url, body) in sides.items():
            await _ready(session, url, body, name)
        for _ in range(rounds):
            for name, (_, _, url, body) in sides.items():
                results[name].append(
                    await _round(session, url, body, seconds=seconds, server=servers[name].pid)
                )
    rows: list[dict[str, object]] = []
    for name, found in results.items():
        rate, p50, p99, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        spread = f"{min(r[0] for r in found):.0f} to {max(r[0] for r in found):.0f}"
        rows.append(
            {
                "side": name,
                "requests/s": round(rate),
                "range": spread,
                "p50 ms": round(p50, 2),
                "p99 ms": round(p99, 2),
                "CPU us/request": round(cpu),
            }
        )
    return rows


async def _ready(session: aiohttp.ClientSession, url: str, body: bytes, name: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            async with session.post(
                url, data=body, headers={"content-type": "application/json"}
            ) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.2)
    raise SystemExit(f"the server of {name} did not answer within 60 s")


async def _round(
    session: aiohttp.ClientSession, url: str, body: bytes, *, seconds: float, server: int
) -> tuple[float, float, float, float]:
    before, times, end = _cpu(server), [], time.monotonic() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) and time.monotonic() < end:
            async with session.post(
                url, data=body, headers={"content-type": "application/json"}
            ) as answer:
                await answer.read()
                assert answer.status == 200
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    ordered = sorted(times)
    return (
        len(times) / seconds,
        ordered[len(times) // 2] * 1e3,
        ordered[int(len(times) * 0.99)] * 1e3,
        (_cpu(server) - before) / len(times) * 1e6,
    )


def _cpu(pid: int) -> float:
    leader = psutil.Process(pid)
    return sum(
        sum(process.cpu_times()[:2]) for process in (leader, *leader.children(recursive=True))
    )


def _ours() -> bytes:
    return orjson.dumps(
        {
            "inputs": [
                {"name": f"x{i}", "datatype": "FP64", "shape": [1], "data": [0.5]}
                for i in range(FEATURES)
            ]
        }
    )


def _model(folder: Path):  # type: ignore[no-untyped-def]
    """Write a small dense graph, and its package."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(size=(FEATURES, 2)).astype(np.float32), "w")]
    nodes = [
        helper.make_node("MatMul", ["numbers", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("numbers", FEATURES), ("probabilities", 2))
    ]
    graph = helper.make_graph(nodes, "bench", tensors[:1], tensors[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        folder / "model.onnx",
    )
    described = {
        "classes": ["no", "yes"],
        "features": [{"name": f"x{i}", "kind": "number", "range": [0, 1]} for i in range(FEATURES)],
    }
    (folder / "schema.yaml").write_text(yaml.safe_dump(described))
    return folder / "model.onnx", package.import_onnx(
        folder / "model.onnx", schema=folder / "schema.yaml", name="bench", out=folder / "store"
    )
