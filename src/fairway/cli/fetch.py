"""The verb `fetch`: what the init step of a server's pod runs."""

import json
from pathlib import Path

import click

from fairway.cli import options


@click.command()
@click.argument("uri")
@click.option(
    "--digest",
    required=True,
    help="The package's digest, sha256:..., as `fairway package` prints it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to make. One that holds this package already is kept.",
)
@click.option(
    "--facts",
    type=click.Path(path_type=Path),
    default=Path("/dev/termination-log"),
    show_default=True,
    help="A file that is there takes what a rollout wants to know of the package: Kubernetes shows it as the "
    "container's message.",
)
@options.output
def fetch(uri: str, digest: str, out: Path, facts: Path, form: str) -> None:
    """Download the model package at URI and check every file of it.

    URI is file:///folder, http(s)://host/folder, s3://bucket/prefix, gs://bucket/prefix,
    oci://registry/repository:tag, or minio://bucket/key, an artifact of Kubeflow Pipelines.
    """
    from fairway.packaging import fetch as fetching

    made = fetching.fetch(uri, digest=digest, out=out)
    if facts.exists():
        facts.write_text(json.dumps(made.facts()), encoding="utf-8")
    options.show(
        made.facts(),
        form=form,
        text=f"{made.name}, {made.digest}: {len(made.files)} files in {out}",
    )
