"""What the server of each runtime is inside its container: how it is started, asked and ended. Pure
data."""

from collections.abc import Mapping
from dataclasses import dataclass

PACKAGE = "/models/package"
WITHDRAW_SECONDS = 5  # between a pod's end and its server's: gateways learn of it in that time


@dataclass(frozen=True, kw_only=True)
class Server:
    """A runtime's server; its metrics are at /metrics of the port `http`."""

    command: tuple[str, ...]
    ports: Mapping[str, int]  # of the container
    withdraw: Mapping[str, object]  # the lifecycle handler that waits

    @property
    def port(self) -> int:
        """The one that answers requests."""
        return self.ports["http"]


SERVERS = {
    "bentoml": Server(
        command=("fairway", "serve", PACKAGE, "--host", "0.0.0.0", "--port", "3000"),  # noqa: S104 - its pod's
        ports={"http": 3000},
        withdraw={"sleep": {"seconds": WITHDRAW_SECONDS}},
    ),
    # Its webhook numbers the port `metrics` by the predictor's place where there is none: pods
    # would restart when another predictor goes. The definition of SeldonDeployment is older than
    # the lifecycle handler `sleep`, and would drop it.
    "seldon": Server(
        command=(
            "seldon-core-microservice",
            "fairway.serving.seldon_model.Model",
            "--service-type",
            "MODEL",
        ),
        ports={"http": 9000, "metrics": 6000},
        withdraw={"exec": {"command": ["sleep", str(WITHDRAW_SECONDS)]}},
    ),
}
