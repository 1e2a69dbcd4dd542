"""What others have installed in the cluster, asked for now and then: it may come and go while the
operator runs."""

import math
import threading
from dataclasses import replace

from fairway.operator.target import OperatorSettings
from fairway.platforms.kubernetes import api

EVERY_SECONDS = 60.0  # between two times that the cluster is asked


class Installed:
    """The operator's settings with what the cluster has; one for all looks."""

    def __init__(self, server: api.Api, settings: OperatorSettings) -> None:
        self._api, self.settings = server, settings
        self._served: set[str] = set()  # kinds that the cluster is known to have
        self._asked = -math.inf
        self._discovering = threading.Lock()

    def discover(self, now: float) -> None:
        """Ask the cluster where that was long ago; every look waits for the first answer."""
        with self._discovering:
            if now - self._asked < EVERY_SECONDS:
                return
            cluster = replace(
                self.settings.cluster,
                service_monitors=self._api.serves("ServiceMonitor"),
                keda=self._api.serves("ScaledObject"),
                envoy_gateway=self._api.serves("BackendTrafficPolicy"),
            )
            self.settings = replace(self.settings, cluster=cluster)
            self._asked = now

    def has(self, kind: str) -> bool:
        """Say whether the cluster has the kind; asked anew until it has, for it may be installed
        after the operator."""
        if kind not in self._served and self._api.serves(kind):
            self._served.add(kind)
        return kind in self._served
