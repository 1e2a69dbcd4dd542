"""Who may reach a deployment's servers, and how Prometheus scrapes them. Pure."""

from collections.abc import Sequence

from fairway.platforms.kubernetes import runtimes
from fairway.platforms.kubernetes.objects import names
from fairway.platforms.kubernetes.objects.scalers import SCRAPE_SECONDS


def network_policy(owner: names.Owner, runtime: str, *, seldon_from: Sequence[str]) -> names.Object:
    """Return what lets requests in to the server's port alone.

    A BentoML server takes them from anywhere: gateways may use the host's network, which no
    selector names. Seldon's wrapper is old software with known weaknesses: it takes them from the
    namespaces of gateways and of Prometheus only. What goes out is left alone: a package may lie
    anywhere, and a policy knows addresses, not names.
    """
    ingress: names.Object = {"ports": [{"port": runtimes.SERVERS[runtime].port, "protocol": "TCP"}]}
    if runtime == "seldon":
        named = {
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": list(seldon_from),
        }  # the API server sets that label
        ingress["from"] = [{"namespaceSelector": {"matchExpressions": [named]}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": names.metadata(owner),
        "spec": {
            "podSelector": {"matchLabels": names.selected(owner)},
            "policyTypes": ["Ingress"],
            "ingress": [ingress],
        },
    }


def service_monitor(owner: names.Owner) -> names.Object:
    """Return what has the servers scraped. What a pod says of itself is not believed: the labels
    are those of its Service and of its namespace, and series of a gateway's proxy are left out.
    """
    relabelings = [
        {"sourceLabels": [f"__meta_kubernetes_service_label_fairway_dev_{key}"], "targetLabel": key}
        for key in ("deployment", "revision")
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": names.metadata(owner),
        "spec": {
            "selector": {"matchLabels": names.selected(owner)},
            "endpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    "interval": f"{SCRAPE_SECONDS}s",
                    "honorLabels": False,
                    "relabelings": relabelings,
                    "metricRelabelings": [
                        {
                            "action": "labeldrop",
                            "regex": "exported_(namespace|deployment|revision)",
                        },
                        {"action": "drop", "sourceLabels": ["__name__"], "regex": "envoy_.*"},
                    ],
                }
            ],
        },
    }
