"""Why a spec cannot be followed, where the definition's own rules could not know: queries, pod
templates, hooks, what is not installed.
"""

from fairway import errors
from fairway.config import resource
from fairway.control import calls
from fairway.operator import routes
from fairway.operator.installed import Installed
from fairway.operator.target import thresholds
from fairway.platforms.kubernetes import api, counts, hosts, scrapes, seldon
from fairway.platforms.kubernetes.objects import controllerrevision, names, pods, scalers


class Checks:
    """Checks of specs against the cluster and the operator's settings."""

    def __init__(self, server: api.Api, installed: Installed) -> None:
        self._api, self._installed = server, installed

    def problem(
        self, owner: names.Owner, spec: resource.Spec, desired: controllerrevision.Revision
    ) -> str | None:
        """Return why the spec cannot be followed, in a sentence."""
        settings = self._installed.settings
        try:
            if spec.counts is not None:
                counts.chosen(
                    spec.counts.template, settings.templates, thresholds=thresholds(spec.strategy)
                )
            else:
                for threshold in thresholds(resource.policy(spec)):
                    scrapes.bucket(threshold)
            pods.template(owner, desired, settings.cluster)
        except errors.ConfigError as error:
            return str(error)
        for hook in spec.strategy.hooks:
            if (refusal := self._refusal(owner.namespace, hook.url)) is not None:
                return f"hook {hook.name}: {refusal}"
        return self._seldon_problem(spec) or scalers.unmet(spec.scaling, settings=settings.cluster)

    def place(self, deployment: calls.DeploymentName, url: str) -> calls.Place:
        """Return where a hook is called now.

        Raises with why it must not be: a Service may have become another since it was accepted.
        """
        refusal, service = (
            self._refusal(deployment.namespace, url),
            hosts.service(url, namespace=deployment.namespace),
        )
        if refusal is not None:
            raise errors.Unavailable(refusal)
        if service is None:
            host = hosts.name(url)
            address = hosts.outside(
                host, hosts.resolve(host), networks=self._installed.settings.hook_networks
            )
            # an answer from outside the namespace is not the tenant's to read
            return calls.Place(address, hosts.port(url), repeats=False)
        found = self._api.get("Service", deployment.namespace, service)
        not_pods = hosts.not_a_pod_service(service, found)
        if found is None or not_pods is not None:
            raise errors.Unavailable(not_pods or "")
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"].items())
        return calls.Place(
            *hosts.pod(url, found, self._api.find("Pod", deployment.namespace, labels=selector))
        )

    def clash(self, owner: names.Owner) -> str | None:
        """Return a sentence where an older route takes the requests that ours is meant for: the
        gateway accepts both, and follows one.
        """
        route = self._api.get("HTTPRoute", owner.namespace, owner.name)
        for namespace, name in routes.overlapping(route):
            try:
                other = self._api.get("HTTPRoute", namespace, name)
            except errors.PlatformError:  # of a namespace that this operator may not read
                other = {"metadata": {"name": name, "namespace": namespace}}
            if route is not None and other is not None and routes.older(other, route):
                return (
                    f"HTTPRoute {namespace}/{name} takes the same requests as this resource's, and is older: the "
                    "gateway follows that one; "
                    "name other spec.gateway.hostnames, or delete one of the two"
                )
        return None

    def _refusal(self, namespace: str, url: str) -> str | None:
        return hosts.refusal(url, namespace=namespace, allowed=self._installed.settings.hook_hosts)

    def _seldon_problem(self, spec: resource.Spec) -> str | None:
        """Return what of Seldon is missing."""
        if spec.runtime != "seldon":
            return None
        has_seldon = self._installed.has("SeldonDeployment")
        routed_by_seldon = spec.routing == "seldon"
        ingress = [
            routed_by_seldon and self._installed.has(kind) for kind in ("VirtualService", "Mapping")
        ]
        return seldon.unmet(spec, seldon=has_seldon, ingress=any(ingress))
