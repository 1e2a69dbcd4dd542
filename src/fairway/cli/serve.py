"""The verb `serve`: one package in the foreground; in a pod it is the container's program."""

import os
from pathlib import Path

import click

from fairway import errors
from fairway.cli import options


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 in a container.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="The port to listen on, 0 for a free one.",
)
@options.home
def serve(package: Path, host: str, port: int, root: Path) -> None:
    """Serve one PACKAGE in the foreground, without gateway or rollout.

    FAIRWAY_DEPLOYMENT, FAIRWAY_NAMESPACE, FAIRWAY_REVISION, FAIRWAY_COLLECTOR,
    FAIRWAY_COLLECTOR_TOKEN (or FAIRWAY_COLLECTOR_CERTIFICATES, a folder with tls.crt, tls.key and
    ca.crt, and FAIRWAY_POD), FAIRWAY_SPOOL, FAIRWAY_SERVING, FAIRWAY_DRAIN_SECONDS and BENTOML_HOME
    are taken from the environment where they are set there.
    """
    from fairway.packaging import manifest
    from fairway.packaging import package as packages
    from fairway.platforms.local import sockets
    from fairway.serving import command

    made, serving = manifest.load(package), command.serving(os.environ)
    if port and sockets.taken(port):
        raise errors.UsageError(
            f"port {port} is taken by another program: choose another with --port, or 0 for a free one"
        )
    chosen = port or sockets.free_port()
    given = os.environ.get("BENTOML_HOME")
    ours = command.environment(
        package=package,
        deployment=made.name,
        namespace="default",
        revision=packages.revision(made.digest, serving=serving),
        collector="",
        spool=None,
        serving=serving,
        home=Path(given) if given else options.open_home(root).root / "serve" / str(chosen),
    )
    environment = {
        **ours,
        **os.environ,
        "FAIRWAY_PACKAGE": ours["FAIRWAY_PACKAGE"],
        "BENTOML_HOME": ours["BENTOML_HOME"],
    }
    settings = command.read(environment)
    click.echo(
        f"{settings.deployment}, revision {settings.revision}: "
        f"http://{host}:{chosen}/v2/models/{settings.deployment}/infer",
        err=True,
    )
    argv = command.argv(chosen, host=host)
    os.execve(argv[0], argv, environment)  # noqa: S606 - the server takes this process's place, and its signals
