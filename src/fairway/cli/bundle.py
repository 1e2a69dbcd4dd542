"""The verb `bundle`: what a cluster without a way out is installed from."""

from pathlib import Path

import click

from fairway import errors
from fairway.cli import options


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--registry",
    default=None,
    metavar="HOST/PATH",
    help="The registry that the cluster pulls from: manifests, values and pipelines name images there.",
)
@click.option(
    "--digests",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="A file of lines NAME:TAG@sha256:DIGEST, such as another bundle's images.txt: images are named by digest.",
)
@click.option(
    "--pin", is_flag=True, help="Ask each image's registry for its digest instead of a file."
)
@click.option(
    "--image",
    "others",
    multiple=True,
    metavar="NAME:TAG",
    help="Another image to take along, such as one of your own pipeline.image; may be repeated.",
)
@options.output
def bundle(
    directory: Path,
    registry: str | None,
    digests: Path | None,
    pin: bool,
    others: tuple[str, ...],
    form: str,
) -> None:
    """Write what an air-gapped cluster is installed from to DIRECTORY: the chart, manifests, pipelines,
    the list of images, and a README with the commands. The same every time."""
    from fairway.platforms.kubernetes import airgapped, imagerefs, registrydigests

    if pin and digests is not None:
        raise errors.UsageError("--pin and --digests contradict: give one")
    text = digests.read_text(encoding="utf-8", errors="replace") if digests else ""
    listed = imagerefs.listed(text, source=str(digests))
    digest_of = registrydigests.ask if pin else listed if digests else None
    record = airgapped.build(directory, registry=registry, digest_of=digest_of, others=others)
    count = f"{record.files} files, {len(record.images)} images"
    options.show(record, form=form, text=f"{directory}: {count}; its README.md says how to go on")
