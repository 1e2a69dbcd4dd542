"""A Prometheus and an Alertmanager of the tests' own, which follow the monitor by the project's own
rules; real ones, beside the tests."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import places

RULES = places.ROOT / "manifests" / "monitoring" / "rules"


@dataclass(frozen=True)
class Alertmanager:
    """The one that alerts come to."""

    url: str

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the alerts of that name that are active."""
        found = httpx.get(f"{self.url}/api/v2/alerts", params={"filter": f'alertname="{name}"'})
        return list(found.raise_for_status().json())

    def fire(self, **labels: str) -> None:
        """Tell it of an alert, as Prometheus does."""
        alert = {"labels": labels, "annotations": {"summary": "it fires"}}
        httpx.post(f"{self.url}/api/v2/alerts", json=[alert]).raise_for_status()

    def told(self) -> int:
        """Return how often it told others of alerts by a webhook."""
        lines = httpx.get(f"{self.url}/metrics").raise_for_status().text.splitlines()
        wanted = 'alertmanager_notifications_total{integration="webhook"'
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))


@contextlib.contextmanager
def watching(folder: Path, *, target: str, token: str) -> Iterator[Alertmanager]:
    """Start both: Prometheus scrapes the monitor at `target` (host:port) by the project's rules,
    Alertmanager tells the monitor of what fires."""
    ports = [_free_port() for _ in range(2)]
    url = f"http://127.0.0.1:{ports[1]}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_rules(folder))],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]}]
        },
        "scrape_configs": [
            {
                "job_name": "fairway-monitor",
                "honor_labels": True,
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alertmanager.yml").write_text(
        yaml.safe_dump(_routing(f"http://{target}/v1/alerts", token=token))
    )
    with (
        _started(
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
            "--cluster.listen-address=",
            ready=f"{url}/-/ready",
        ),
        _started(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            ready=f"http://127.0.0.1:{ports[0]}/-/ready",
        ),
    ):
        yield Alertmanager(url)


def _rules(folder: Path) -> Path:
    """Return the project's rules about monitoring, of which none waits: a test has no minutes."""
    rules = yaml.safe_load((RULES / "monitoring.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    return file


def _routing(webhook: str, *, token: str) -> dict[str, Any]:
    """Return what Alertmanager is told; it repeats itself every few seconds, so that what comes
    twice is seen to count once."""
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "namespace", "deployment"],
            "group_wait": "1s",
            "group_interval": "2s",
            "repeat_interval": "2s",
            "routes": [{"receiver": "retraining", "matchers": ['alertname="RealisedQualityBurn"']}],
        },
        "receivers": [
            {"name": "nobody"},
            {
                "name": "retraining",
                "webhook_configs": [
                    {
                        "url": webhook,
                        "http_config": {"authorization": {"type": "Bearer", "credentials": token}},
                    }
                ],
            },
        ],
    }


@contextlib.contextmanager
def _started(program: str, *arguments: str, ready: str) -> Iterator[None]:
    found = shutil.which(program)
    assert found, f"no {program}: install it (Debian: apt-get install {program})"
    process = subprocess.Popen(
        [found, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(ready):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{program} did not become ready"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def concluded(text: str) -> list[Any]:
    """Return what a line of JSON says that a pod printed."""
    return list(json.loads(text.strip().splitlines()[-1]))
