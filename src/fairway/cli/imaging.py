"""The verb `image`: the image of the pipelines' steps with the user's own code."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors
from fairway.cli import options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.pipelines import own_image


@click.group()
def image() -> None:
    """Build the image of the pipelines' steps with your own code in it."""


@image.command()
@click.argument("code", nargs=-1, metavar="[CODE]...", type=click.Path(path_type=Path))
@click.option("--base", default=None, help="The image to build on, instead of pipeline.image.")
@click.option(
    "--requirements",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What the code needs, as pip reads it; where it has hashes, they are checked.",
)
@click.option("--tag", default=None, help="The image's name, such as registry.example/steps:1.")
@click.option(
    "--push", is_flag=True, help="Put the image in the registry that its name begins with."
)
@click.option(
    "--builder",
    type=click.Choice(["docker", "podman", "buildah"]),
    default=None,
    help="What builds; by default the first that is here.",
)
@click.option("--print", "printed", is_flag=True, help="Only print the Dockerfile.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the Dockerfile here, and beside it FILE.dockerignore; without --tag nothing is built.",
)
@options.config
@options.output
def build(
    code: tuple[Path, ...],
    base: str | None,
    requirements: Path | None,
    tag: str | None,
    push: bool,
    builder: str | None,
    printed: bool,
    out: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Build the image that steps with code of yours run in, and print what pipeline.image takes.

    CODE are modules, packages and folders with a pyproject.toml below the current folder: the first
    two can be imported in the image, the last are installed, so that their plug-ins are found. By
    default the modules of the functions that the configuration names. Secrets and data files
    (.env, *.pem, *.csv and the like) are left out. The build ends with their import.
    """
    from fairway.pipelines import own_image

    config = options.load(path, overrides)
    known = config.model_dump(mode="json", by_alias=True)
    found = own_image.gather(Path.cwd(), config=known, code=code, requirements=requirements)
    text = own_image.dockerfile(found, base=_base(config, base))
    if printed:
        click.echo(text, nl=False)
        return
    if out is not None:
        options.write(out, text.encode())
        options.write(out.with_name(f"{out.name}.dockerignore"), own_image.dockerignore().encode())
    if tag is not None:
        _build(found, text, tag=tag, push=push, builder=builder, form=form)
    elif out is not None and not push:
        options.show(
            {"dockerfile": str(out)}, form=form, text=f"wrote {out} and {out}.dockerignore"
        )
    else:
        raise errors.UsageError(
            "--tag is not said: wanted the image's name, such as registry.example/steps:1; or --print, or --out FILE"
        )


def _base(config: "sections.Config", base: str | None) -> str:
    named = base or config.pipeline.image
    if config.environment == "production" and "@sha256:" not in named:
        raise errors.UsageError(
            f"{'--base' if base else 'pipeline.image'} is {named}: production wants NAME@sha256:..."
        )
    return named


def _build(
    found: "own_image.OwnCode", text: str, *, tag: str, push: bool, builder: str | None, form: str
) -> None:
    from fairway.pipelines import image_builds, own_image

    chosen = image_builds.choose(builder)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "Dockerfile").write_text(text)
        (folder / "context").mkdir()
        own_image.lay(Path.cwd(), found, out=folder / "context")
        made = image_builds.build(chosen, folder=folder, tag=tag, push=push)
    here = f"{made.tag}, {made.id}: on this machine alone; --push prints what pipeline.image takes"
    options.show(made, form=form, text=made.image if made.digest else here)
