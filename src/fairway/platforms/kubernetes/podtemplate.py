"""A user's pod template merged into ours, as `kubectl patch` would. Pure.

Maps are merged and `null` removes a key. Lists of named things are merged by name, tolerations and
their like are appended, other lists are replaced. What makes the pod a server of its revision stays
as it is: a template that changes it is refused.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from fairway import errors
from fairway.config import resource

PREFIX = f"{resource.GROUP}/"
SEALED = ("image", "command", "args")
SEALED_ENV = (
    "FAIRWAY_DEPLOYMENT",
    "FAIRWAY_NAMESPACE",
    "FAIRWAY_REVISION",
    "FAIRWAY_COLLECTOR",
    "FAIRWAY_COLLECTOR_TOKEN",
    "FAIRWAY_COLLECTOR_CERTIFICATES",
    "FAIRWAY_POD",
    "FAIRWAY_SPOOL",
    "FAIRWAY_SERVING",
)
SEALED_VOLUMES = ("model", "source", "collector-token")
BY = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
APPENDED = ("tolerations", "envFrom")


def merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return our template with the user's changes.

    Raises ConfigError naming the key that may not be changed, or is no part of a template.
    """
    for key in theirs:
        if key not in ("metadata", "spec"):
            raise errors.ConfigError(
                f"podTemplate.{key} is no part of a pod template: wanted metadata or spec"
            )
    merged: dict[str, Any] = _maps(ours, theirs, path="podTemplate")
    before, after = (
        _sealed(ours, labels=ours["metadata"]["labels"]),
        _sealed(merged, labels=ours["metadata"]["labels"]),
    )
    for path in (*before, *after):
        if path not in before or path not in after or before[path] != after[path]:
            raise errors.ConfigError(
                f"podTemplate.{path} is fairway's own: leave it out; what a pod is made of is asked for by spec.model, "
                "spec.image "
                "and spec.serving"
            )
    return merged


def _maps(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, path: str) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in theirs.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _values(ours.get(key), value, key=key, path=f"{path}.{key}")
    return merged


def _values(ours: Any, theirs: Any, *, key: str, path: str) -> Any:
    if isinstance(ours, Mapping):
        if not isinstance(theirs, Mapping):
            raise errors.ConfigError(f"{path} is {theirs!r}: wanted a map")
        return _maps(ours, theirs, path=path)
    if isinstance(ours, list):
        if not isinstance(theirs, list):
            raise errors.ConfigError(f"{path} is {theirs!r}: wanted a list")
        if key in BY:
            return _lists(ours, theirs, by=BY[key], path=path)
        return [*ours, *copy.deepcopy(theirs)] if key in APPENDED else copy.deepcopy(theirs)
    return copy.deepcopy(theirs)


def _lists(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Any], *, by: str, path: str
) -> list[Any]:
    """Merge by name. A volume or a variable is replaced as a whole: it has one source."""
    found = {item[by]: item for item in ours}
    for item in theirs:
        if not isinstance(item, Mapping) or type(item.get(by)) is not (
            int if by == "containerPort" else str
        ):
            raise errors.ConfigError(f"{path} has {item!r}: wanted maps with a {by}")
        name = item[by]
        whole = name not in found or path.endswith((".volumes", ".env"))
        found[name] = (
            copy.deepcopy(dict(item)) if whole else _maps(found[name], item, path=f"{path}[{name}]")
        )
    return list(found.values())


def _sealed(template: Mapping[str, Any], *, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return by path all that a template may not change."""
    sealed: dict[str, Any] = {}
    for kind in ("labels", "annotations"):
        entries = template.get("metadata", {}).get(kind)
        for key, value in entries.items() if isinstance(entries, Mapping) else ():
            if key.startswith(PREFIX) or (kind == "labels" and key in labels):
                sealed[f"metadata.{kind}[{key}]"] = value
    for group, name in (("initContainers", "fetch"), ("containers", "server")):
        path = f"spec.{group}[{name}]"
        for container in template.get("spec", {}).get(group, ()):
            if container["name"] == name:
                sealed |= {f"{path}.{key}": container.get(key) for key in SEALED}
                sealed |= {
                    f"{path}.env[{e['name']}]": e
                    for e in container.get("env", ())
                    if e["name"] in SEALED_ENV
                }
                sealed |= {
                    f"{path}.volumeMounts[{m['mountPath']}]": m
                    for m in container.get("volumeMounts", ())
                    if m.get("name") in SEALED_VOLUMES
                }
    return sealed
