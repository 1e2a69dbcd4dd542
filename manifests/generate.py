"""Writes the manifests that are the chart's own objects, so that both come from one source;
`--check` names those out of date.

manifests/operator/, manifests/monitoring/monitors.yaml, ...    from helm/fairway, rendered by `helm` (or --helm FILE)
helm/fairway/crds/                                              from manifests/crds/
manifests/monitoring/dashboards/                                from manifests/dashboards/
manifests/monitoring/alertmanager.yml                           from manifests/alerting.py
helm/fairway/files/                                             from manifests/monitoring/
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from manifests import alerting, dashboards  # noqa: E402 - found there

CHART = ROOT / "helm" / "fairway"
MONITORING = alerting.MONITORING
NAMESPACE = "fairway-system"
NOTE = "# Written by manifests/generate.py from helm/fairway/templates/{template}: change that, not this file.\n"
BASE = {
    "prometheus.url": "http://prometheus-operated.monitoring:9090"
}  # the Service that prometheus-operator makes for each Prometheus
# what says that helm rendered it
HELMS_OWN = ("helm.sh/", "app.kubernetes.io/managed-by: Helm", "# Source: ")

PARTS: Mapping[str, tuple[str, Mapping[str, str]]] = {  # file -> template, values besides BASE
    "operator/operator.yaml": ("operator.yaml", {}),
    "operator/collector.yaml": ("collector.yaml", {}),
    "operator/rbac-operator.yaml": ("rbac-operator.yaml", {}),
    "operator/monitor.yaml": ("monitor.yaml", {}),
    "operator/rbac-monitor.yaml": ("rbac-monitor.yaml", {}),
    "operator/rbac-users.yaml": ("rbac-users.yaml", {}),
    "operator/admission.yaml": ("admission.yaml", {}),
    "operator/rbac-evidence.yaml": ("rbac-evidence.yaml", {}),
    "operator/networkpolicies.yaml": ("networkpolicies.yaml", {}),
    "monitoring/monitors.yaml": (
        "monitors.yaml",
        {"monitoring.serviceMonitors": "true", "monitoring.gatewayProxies": "true"},
    ),
    "monitoring/prometheusrules.yaml": ("rules.yaml", {"monitoring.rules": "true"}),
    "monitoring/alertmanagerconfig.yaml": (
        "alertmanager.yaml",
        {"monitoring.alertmanager.enabled": "true"},
    ),
    "monitoring/grafana.yaml": ("dashboards.yaml", {"monitoring.dashboards": "true"}),
    "overlays/production/operator-budget.yaml": (
        "operator-budget.yaml",
        {"operator.replicas": "2"},
    ),
}


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` gives 1 and a sentence that names those that are not what
    would be written."""
    parser = argparse.ArgumentParser(description="Write the manifests that come from the chart.")
    parser.add_argument("--check", action="store_true", help="only say which files are out of date")
    parser.add_argument("--helm", default=shutil.which("helm"), help="the helm to render with")
    options = parser.parse_args(arguments)
    if options.helm is None:
        print(
            "there is no helm on PATH: install helm 3.14 or newer, or name one by --helm FILE",
            file=sys.stderr,
        )
        return 2
    stale = [
        *write(dashboards.files(MONITORING / "dashboards"), check=options.check),
        *write(
            [(MONITORING / "alertmanager.yml", alerting.file_text(MONITORING))], check=options.check
        ),
        *write(copies(), check=options.check),
        *write(rendered(options.helm), check=options.check),
    ]  # what is copied is rendered, too
    if options.check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(
            f"{names} out of date: run `python manifests/generate.py` and commit the result",
            file=sys.stderr,
        )
        return 1
    return 0


def write(files: Iterable[tuple[Path, str]], *, check: bool) -> list[Path]:
    """Return the files that are not as they should be, and makes them so where it is not only
    asked."""
    stale = [
        (path, text)
        for path, text in files
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in () if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in stale]


def copies() -> Iterator[tuple[Path, str]]:
    """Return the chart's copies with the text that they should have: a chart can only hold what
    lies in its folder."""
    for crd in sorted((ROOT / "manifests" / "crds").glob("*.yaml")):
        if crd.name != "kustomization.yaml":
            yield CHART / "crds" / crd.name, crd.read_text(encoding="utf-8")
    for folder in ("rules", "dashboards"):
        for file in sorted((MONITORING / folder).iterdir()):
            yield CHART / "files" / folder / file.name, file.read_text(encoding="utf-8")
    yield CHART / "files" / "alertmanagerconfig.yaml", alerting.config_text(MONITORING)


def rendered(helm: str) -> Iterator[tuple[Path, str]]:
    """Return the manifests with the text that they should have."""
    for name, (template, values) in PARTS.items():
        yield (
            ROOT / "manifests" / name,
            NOTE.format(template=template) + render(helm, template=template, values=values),
        )


def render(helm: str, *, template: str, values: Mapping[str, str]) -> str:
    """Return the template's objects without what is helm's."""
    settings = [f"--set={name}={value}" for name, value in {**BASE, **values}.items()]
    done = subprocess.run(
        [
            helm,
            "template",
            "fairway",
            str(CHART),
            f"--namespace={NAMESPACE}",
            f"--show-only=templates/{template}",
            *settings,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"helm could not render {template}: {done.stderr.strip()}")
    lines = [
        line.rstrip()
        for line in done.stdout.splitlines()
        if line.strip() and not any(own in line for own in HELMS_OWN)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
