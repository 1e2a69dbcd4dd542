"""The parts that Envoy's documents share. Pure."""

from pathlib import Path
from typing import Any

from fairway import files

Json = dict[str, Any]
TYPE = "type.googleapis.com/envoy."
ROUTES = "routes"  # name of the route configuration
PATIENCE = "patience"  # name of the listener that waits for a server, and of its cluster
ORIGINAL = "envoy.filters.listener.original_dst"
BUFFERING = "envoy.filters.http.buffer"
MEBIBYTE = 1 << 20


def header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def answer(status: int, body: str) -> Json:
    return {"status": status, "body": {"inline_string": body}}


def address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def file(path: Path) -> Json:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def document(kind: str, resources: list[Json]) -> Json:
    typed = [
        {"@type": TYPE + kind, **resource}
        for resource in ({k: v for k, v in r.items() if k != "@type"} for r in resources)
    ]
    return {"version_info": files.digest_bytes(files.canonical(typed))[7:19], "resources": typed}
