"""The verb `push`: what puts a package where a cluster fetches it from."""

from pathlib import Path

import click

from fairway.cli import options


@click.command()
@click.argument("package", type=click.Path(path_type=Path), required=False)
@click.option(
    "--to",
    "store",
    default=None,
    metavar="STORE",
    help="Where packages are kept, without the digest; by default platform.store of the configuration.",
)
@options.config
@options.home
@options.output
def push(
    package: Path | None,
    store: str | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Put PACKAGE, by default the newest that was built for this configuration, where a cluster
    fetches it from.

    STORE is s3://bucket/prefix, gs://bucket/prefix, oci://registry/repository, file:///folder, or
    pvc://claim/folder in a pod that has the claim mounted at /mnt/claims/claim. A package that is
    there already is left as it is.
    """
    from fairway import errors
    from fairway.packaging import manifest, publish

    if package is None or store is None:
        config = options.load(path, overrides)
        package = package or options.newest(options.open_home(root).packages, config.name)
        store = store or config.platform.store
    if store is None:
        raise errors.UsageError(
            "platform.store is not set: wanted where packages are kept, such as s3://bucket/prefix; or pass --to"
        )
    uri = publish.publish(package, store=store)
    made = manifest.read(package)
    options.show(
        {"name": made.name, "digest": made.digest, "uri": uri},
        form=form,
        text=f"{made.name}, {made.digest}: in {uri}",
    )
