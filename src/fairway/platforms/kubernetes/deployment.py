"""The ModelDeployment that a configuration and a package amount to. Pure."""

from typing import Any

from pydantic import ValidationError

from fairway import errors
from fairway.config import loader, resource, sections
from fairway.packaging import publish

# objects are named after it and the revision, in 63; the CRD refuses a longer one
LONGEST_NAME = 50
# the monitor's own on a cluster: its engine, how often it looks, and what the collector keeps
PIPELINES = ("max_new_rows", "deploy", "held_out", "sliding")  # of retraining: the run's own
ELSEWHERE = {
    name: getattr(sections.Monitoring(), name)
    for name in ("engine", "beside", "interval", "retention")
}


def spec(
    config: sections.Config, *, uri: str, digest: str, image: str | None = None
) -> resource.Spec:
    """Return the spec that asks for the package; `image` is the server's, the operator's default
    for None."""
    if len(config.name) > LONGEST_NAME:
        raise errors.ConfigError(
            f"name {config.name!r} has {len(config.name)} characters: wanted at most {LONGEST_NAME} on Kubernetes"
        )
    try:
        return resource.Spec(
            model=resource.Model(uri=uri, digest=digest),
            image=image,
            runtime=config.serving.runtime,
            serving=config.serving,
            strategy=config.strategy,
            monitoring=config.monitoring.model_copy(update=ELSEWHERE),
            retraining=resource.JobRetraining(
                **{
                    name: getattr(config.retraining, name)
                    for name in sections.Retraining.model_fields
                    if name not in PIPELINES
                }
            ),
            gateway=resource.Gateway(
                parent_refs=tuple(map(_parent, config.platform.gateways)),
                hostnames=config.platform.hostnames,
            ),
        )
    except ValidationError as error:
        raise errors.UsageError(
            loader.explain(error, where="the ModelDeployment", root=resource.Spec)
        ) from error


def manifest(name: str, namespace: str, asked: resource.Spec) -> dict[str, Any]:
    """Return the resource with what differs from the defaults: the cluster fills in the rest."""
    return {
        "apiVersion": f"{resource.GROUP}/{resource.VERSION}",
        "kind": resource.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": asked.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def unheeded(config: sections.Config) -> tuple[str, ...]:
    """Return a sentence for what the configuration asks for and no cluster does."""
    if not config.monitoring.beside:
        return ()
    return (
        f"monitoring.beside ({', '.join(config.monitoring.beside)}) is asked on one machine alone: on "
        "a cluster windows have the tests of the monitor's engine (monitor.engine of the chart); "
        "`fairway drift --detector` asks the others of two samples",
    )


def place(config: sections.Config, *, digest: str, uri: str | None = None) -> str:
    """Return where the cluster finds the package: the address given, else its folder in
    `platform.store`."""
    if uri is not None:
        return uri
    if config.platform.store is None:
        raise errors.UsageError(
            "platform.store is not set: wanted where packages are put for the cluster, such as s3://bucket/prefix, "
            f"with this one in {digest.removeprefix('sha256:')}; or pass --uri"
        )
    return publish.address(config.platform.store, digest=digest)


def _parent(text: str) -> resource.ParentRef:
    namespace, _, name = text.rpartition("/")
    return resource.ParentRef(name=name, namespace=namespace or None)
