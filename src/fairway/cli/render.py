"""The verb `render`: what to apply to a cluster, to read or to pipe into kubectl."""

import json
from pathlib import Path
from typing import Any

import click

from fairway import __version__, errors
from fairway.cli import options

LONGEST_NAME = 50  # objects are named after it and the revision, in 63; the CRD refuses a longer one


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--uri", required=True, help="Where the cluster finds the package: s3://, https://, oci:// or pvc://claim/folder.")
@click.option("--image", default=None, help="The server's image; the operator's default where it is left out.")
@click.option("--gateway", "gateways", multiple=True, default=("models",), show_default=True, metavar="[NAMESPACE/]NAME",
              help="The Gateway that requests come in by; may be repeated.")
@click.option("--hostname", "hostnames", multiple=True, help="A host name to answer to; those of the Gateway by default. May be repeated.")
@click.option("--objects", is_flag=True, help="Show the objects that the operator would make of it instead.")
@click.option("--output", "-o", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How it is printed.")
@options.config
def render(
    package: Path, uri: str, image: str | None, gateways: tuple[str, ...], hostnames: tuple[str, ...], objects: bool, form: str, path: Path,
    overrides: tuple[str, ...],
) -> None:
    """Print the ModelDeployment that asks for PACKAGE with this configuration."""
    from pydantic import ValidationError

    from fairway.config import loader, resource
    from fairway.packaging import manifest

    config = options.load(path, overrides)
    made = manifest.load(package)
    if len(config.name) > LONGEST_NAME:
        raise errors.ConfigError(f"name {config.name!r} has {len(config.name)} characters: wanted at most {LONGEST_NAME} on Kubernetes")
    try:
        spec = resource.Spec(
            model=resource.Model(uri=uri, digest=made.digest), image=image, runtime=config.serving.runtime, serving=config.serving,
            strategy=config.strategy, gateway=resource.Gateway(parent_refs=tuple(map(_parent, gateways)), hostnames=hostnames))
    except ValidationError as error:
        raise errors.UsageError(loader.explain(error, where="the ModelDeployment")) from error
    if objects:
        _print(_objects(config.name, config.namespace, spec), form=form)
    else:
        _print([_resource(config.name, config.namespace, spec)], form=form)


def _resource(name: str, namespace: str, spec: Any) -> dict[str, Any]:
    """Gives the resource with what differs from the defaults: the cluster fills in the rest."""
    from fairway.config import resource

    return {"apiVersion": f"{resource.GROUP}/{resource.VERSION}", "kind": resource.KIND, "metadata": {"name": name, "namespace": namespace},
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)}


def _objects(name: str, namespace: str, spec: Any) -> list[dict[str, Any]]:
    """Gives what a first deployment is made of, in a cluster that has prometheus-operator."""
    from fairway.config import resource
    from fairway.platforms.kubernetes import gateway, workloads
    from fairway.rollout import traffic

    image = spec.image or f"fairway/server:{__version__}"
    owner = workloads.Owner(name=name, namespace=namespace)
    settings = workloads.Settings(collector="http://fairway-collector.fairway-system:8080", service_monitors=True)
    revision = workloads.Revision(name=resource.revision(spec, image=image), model=spec.model, image=image, runtime=spec.runtime, serving=spec.serving,
                                  pod_template=spec.pod_template, defaulted_image=spec.image is None)
    route = traffic.route(deployment=name, stable=revision.name, candidate=None, weight=0, mirror=0)
    return [
        workloads.controller_revision(owner, revision, number=1),
        *workloads.for_revision(owner, revision, scaling=spec.scaling, settings=settings),
        *workloads.for_deployment(owner, spec, settings=settings),
        gateway.http_route(owner, spec.gateway, route), gateway.stickiness(owner),
    ]


def _parent(text: str) -> Any:
    from fairway.config import resource

    namespace, _, name = text.rpartition("/")
    return resource.ParentRef(name=name, namespace=namespace or None)


def _print(found: list[dict[str, Any]], *, form: str) -> None:
    import yaml

    if form == "json":
        click.echo(json.dumps(found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}, indent=2))
    else:
        plain = json.loads(json.dumps(found))  # in YAML what two objects share would become an alias
        click.echo(yaml.safe_dump_all(plain, sort_keys=False, width=120), nl=False)
