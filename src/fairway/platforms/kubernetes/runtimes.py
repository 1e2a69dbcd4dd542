"""What the server of each runtime is inside its container: how it is started, asked, ended and scraped. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PACKAGE = "/models/package"
WITHDRAW_SECONDS = 5          # between a pod's end and its server's: gateways learn of it in that time


@dataclass(frozen=True, kw_only=True)
class Server:
    """A runtime's server; ports are the container's."""

    command: tuple[str, ...]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, int, str]   # name of the port, its number, path
    withdraw: Mapping[str, object]  # the lifecycle handler that waits


SERVERS = {
    "bentoml": Server(
        command=("fairway", "serve", PACKAGE, "--host", "0.0.0.0", "--port", "3000"),  # noqa: S104 - its pod's
        port=3000, metrics=("http", 3000, "/metrics"), withdraw={"sleep": {"seconds": WITHDRAW_SECONDS}}),
    # With gRPC on, its parent waits for the child for ever and SIGTERM does not end it. The definition of SeldonDeployment is older than the lifecycle
    # handler `sleep` and would drop it.
    "seldon": Server(
        command=("seldon-core-microservice", "fairway.serving.seldon_model.Model", "--service-type", "MODEL"),
        port=9000, metrics=("metrics", 6000, "/prometheus"), withdraw={"exec": {"command": ["sleep", str(WITHDRAW_SECONDS)]}},
        env={"FAIRWAY_PACKAGE": PACKAGE, "GRPC_WORKERS": "0", "INCLUDE_METRICS_IN_CLIENT_RESPONSE": "false", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9000",
             "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6000", "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus"}),
}
