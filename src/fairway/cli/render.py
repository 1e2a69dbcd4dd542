"""The verb `render`: what to apply to a cluster, to read or to pipe into kubectl."""

import json
from pathlib import Path
from typing import Any

import click

from fairway import __version__
from fairway.cli import options


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@options.uri
@click.option(
    "--image", default=None, help="The server's image; the operator's default where it is left out."
)
@click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="[NAMESPACE/]NAME",
    help="The Gateway that requests come in by, instead of platform.gateways; may be repeated.",
)
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    help="A host name to answer to, instead of platform.hostnames; may be repeated.",
)
@click.option(
    "--objects", is_flag=True, help="Show the objects that the operator would make of it instead."
)
@click.option(
    "--output",
    "-o",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="How it is printed.",
)
@options.config
@options.home
def render(
    package: Path,
    uri: str | None,
    image: str | None,
    gateways: tuple[str, ...],
    hostnames: tuple[str, ...],
    objects: bool,
    form: str,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
) -> None:
    """Print the ModelDeployment that asks for PACKAGE with this configuration; its annotations tell
    the lineage, and the run that made the package where it was one of this home."""
    from fairway.packaging import lineage, manifest
    from fairway.platforms.kubernetes import annotations, deployment
    from fairway.platforms.local import origins
    from fairway.platforms.local.home import Home

    config = options.load(path, overrides)
    shown = {
        name: value for name, value in (("gateways", gateways), ("hostnames", hostnames)) if value
    }
    config = config.model_copy(update={"platform": config.platform.model_copy(update=shown)})
    made = manifest.load(package)
    config.serving.events.need(feature.name for feature in made.features)
    digest = made.digest
    spec = deployment.spec(
        config, uri=deployment.place(config, digest=digest, uri=uri), digest=digest, image=image
    )
    for sentence in deployment.unheeded(config):
        click.echo(f"fairway: {sentence}", err=True)
    if objects:
        _print(_objects(config.name, config.namespace, spec), form=form)
        return
    asked = deployment.manifest(config.name, config.namespace, spec)
    own = lineage.of(made, came=origins.of(Home(root.resolve()), digest))
    asked["metadata"]["annotations"] = annotations.of(own, before=None)
    _print([asked], form=form)


def _objects(name: str, namespace: str, spec: Any) -> list[dict[str, Any]]:
    """Return what a first deployment is made of, in a cluster that has prometheus-operator."""
    from fairway.config import resource
    from fairway.operator import revisions
    from fairway.platforms.kubernetes import gateway, objects, seldon
    from fairway.platforms.kubernetes.objects import names
    from fairway.rollout import traffic

    image = f"fairway/{'seldon' if spec.runtime == 'seldon' else 'server'}:{__version__}"
    owner, parent = names.Owner(name=name, namespace=namespace), resource.route(spec)
    settings = names.ClusterSettings(
        collector="http://fairway-collector.fairway-system:8080", service_monitors=True
    )
    revision = revisions.desired(spec, known={}, default_image=image)
    route = traffic.route(deployment=name, stable=revision.name, candidate=None, weight=0, mirror=0)
    predictors = seldon.deployment(
        owner, [revision], scaling=spec.scaling, settings=settings, stable=revision.name
    )
    return [
        objects.controller_revision(owner, revision, number=1, settings=settings),
        *([predictors] if spec.runtime == "seldon" else []),
        *objects.for_revision(owner, revision, scaling=spec.scaling, settings=settings),
        *objects.for_deployment(owner, spec, settings=settings),
        *(
            [gateway.http_route(owner, parent, route, runtime=spec.runtime)]
            if parent is not None
            else []
        ),
        gateway.backend_policy(owner, spec),
    ]


def _print(found: list[dict[str, Any]], *, form: str) -> None:
    import yaml

    if form == "json":
        click.echo(
            json.dumps(
                found[0]
                if len(found) == 1
                else {"apiVersion": "v1", "kind": "List", "items": found},
                indent=2,
            )
        )
    else:
        # in YAML what two objects share would become an alias
        plain = json.loads(json.dumps(found))
        click.echo(yaml.safe_dump_all(plain, sort_keys=False, width=120), nl=False)
