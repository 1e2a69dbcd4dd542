"""Writes helm/fairway/README.md from the comments of values.yaml; `--check` says whether it is out
of date.

The comment above a value says why its default is what it is, the one above a section what the
section is.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent / "fairway"
HEAD = """<!-- Written by helm/readme.py from values.yaml: change that, not this page. -->

# fairway's chart

Installs the operator of ModelDeployments and the collector of their events, with the CRD, least privilege and network policies.

    helm install fairway helm/fairway --namespace fairway-system --create-namespace \\
      --set prometheus.url=http://prometheus-operated.monitoring:9090
    helm test fairway --namespace fairway-system

It needs Kubernetes 1.30, a gateway that serves the Gateway API (Envoy Gateway for sticky units and counts per arm) and a Prometheus
that scrapes it. KEDA, Seldon Core and prometheus-operator are used where they are installed.

* **Names are fixed** (`fairway-operator`, `fairway-collector`): two operators over one namespace would fight, and helm refuses the second.
* **Upgrade**: helm never upgrades CRDs. First `kubectl apply --server-side --force-conflicts --filename helm/fairway/crds`, then
  `helm upgrade`. Rollouts go on where they stood, and no running revision changes.
* **Test**: `helm test` asks operator and collector whether they are well; with `tests.canary` it runs a whole canary under traffic and deletes it again.
* **Uninstall** keeps the CRD, every ModelDeployment, what serves, and the collector's volume.
* **What the operator's account could do.** It makes Deployments, Services and routes wherever models are, and whoever can make a Deployment in a namespace
  has its service accounts and Secrets. `admission` (on by default) binds its writes to objects that say that a ModelDeployment controls them, outside `kube-`
  namespaces and without host access; `namespaces` narrows that, and `rbac.namespaced` gives it no right elsewhere at all.
* **What an editor's podTemplate can do.** `admission` refuses host access to everybody, and service accounts, tokens and Secrets to whoever could not create
  such a pod himself. An image and a package of one's own run in the namespace all the same: give `fairway-editor` to those who may run code there.
* **Namespaced** (`rbac.namespaced`): whoever installs needs rights in `namespaces` and the release's namespace only, if an administrator
  has applied the CRD and the ClusterRoleBinding to `system:auth-delegator` (or with `collector.auth: none`); add `--skip-crds`.
* **kustomize**: `manifests/overlays/` gives the same objects. Each overlay's `values.yaml` is the same choice for helm.

Contradictory values are refused with a sentence, unknown ones by name. """
TAIL = "The values, with the reason for each default:"


@dataclass(frozen=True)
class Value:
    """One line of the table; a section has no default."""

    path: str
    default: str | None
    why: str


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` gives 1 and a sentence where it is not what would be
    written."""
    path, text = CHART / "README.md", page((CHART / "values.yaml").read_text(encoding="utf-8"))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in arguments:
        print(
            "helm/fairway/README.md is out of date: run `python helm/readme.py` and commit the result",
            file=sys.stderr,
        )
        return 1
    path.write_text(text, encoding="utf-8")
    return 0


def page(source: str) -> str:
    rows = [
        f"| {f'`{value.path}`' if value.default is not None else f'**{value.path}**'} | {value.default or ''} | "
        f"{value.why} |"
        for value in values(source)
    ]
    return (
        "\n".join([HEAD + TAIL, "", "| value | default | why |", "| --- | --- | --- |", *rows])
        + "\n"
    )


def values(source: str) -> Iterator[Value]:
    """Return every section and value in the file's order; one without a comment is refused."""
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _walk(root, lines=source.splitlines(), path="")


def _walk(node: yaml.MappingNode, *, lines: list[str], path: str) -> Iterator[Value]:
    for key, value in node.value:
        name = f"{path}{key.value}"
        why = _comment(lines, above=key.start_mark.line)
        section = (
            isinstance(value, yaml.MappingNode)
            and not value.flow_style
            and _has_comments(value, lines)
        )
        if not why and not section:
            raise SystemExit(
                f"values.yaml line {key.start_mark.line + 1}: {name} has no comment: say above it why its default is "
                f"what it is"
            )
        if section:
            if why:
                yield Value(name, None, why)
            yield from _walk(value, lines=lines, path=f"{name}.")
        else:
            default = yaml.safe_load(yaml.serialize(value))
            yield Value(
                name,
                f"`{_flow(default)}`",
                why,
            )


def _flow(default: object) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(default, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("...").strip()


def _has_comments(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Tell a section, whose values are explained one by one, from a value that is a mapping, such
    as `resources`."""
    return any(_comment(lines, above=key.start_mark.line) for key, _ in node.value)


def _comment(lines: list[str], *, above: int) -> str:
    found: list[str] = []
    while above > 0 and lines[above - 1].lstrip().startswith("#"):
        above -= 1
        found.insert(0, lines[above].lstrip().removeprefix("#").strip())
    return " ".join(found).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
