"""Everything that a cluster without a way out is given, in one folder: chart, manifests, pipelines, the
names of images, digests of every file, and the commands. The same sources give the same bytes."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import string
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fairway import __version__, errors, files
from fairway.pipelines import compiled
from fairway.platforms.kubernetes import imagerefs

CLONE = Path(__file__).parents[4]
RECORD, SUMS = "bundle.json", "SHA256SUMS"
MANIFESTS = ("crds", "operator", "monitoring", "overlays")
KINDS = (".yaml", ".yml", ".json", ".md", ".tpl", ".txt")  # nothing that an editor leaves
TIME = 315532800  # 1980-01-01: the first time that every archive can hold
UNNAMED = (
    "This bundle was made without a mirror: manifests and pipelines name images where they lie now.\n"
    "With `fairway bundle DIRECTORY --registry HOST/PATH` they name your registry, and so does this page;\n"
    "otherwise say here which it is:\n\n"
    "```sh\nREGISTRY=registry.example:5000/fairway   # yours\n```\n\n"
)
Images = Mapping[str, imagerefs.ImageRef]  # by the reference that the sources have


@dataclasses.dataclass(frozen=True, kw_only=True)
class BundleRecord:
    """What a bundle holds."""

    version: str
    chart: str
    registry: str | None
    images: tuple[str, ...]
    files: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart's files by name, where they go, and its images by their place in the values."""

    contents: Mapping[str, bytes]
    name: str
    archive: str
    images: Mapping[tuple[str, ...], imagerefs.ImageRef]


def build(
    out: Path,
    *,
    registry: str | None = None,
    digest_of: Callable[[imagerefs.ImageRef], str] | None = None,
    others: Sequence[str] = (),
    clone: Path = CLONE,
) -> BundleRecord:
    """Write the bundle to `out`, and return what it holds.

    `registry` is the mirror that pods shall pull from, `digest_of` what knows the digest of an image
    that is named by its tag, `others` are images besides those that chart and pipelines name.
    """
    if registry is not None and not imagerefs.REGISTRY.fullmatch(registry):
        raise errors.UsageError(
            f"--registry {registry!r} is no registry: wanted HOST[:PORT][/PATH] without a scheme, "
            "such as registry.example:5000/fairway"
        )
    chart, sources = _chart(clone), {**_manifests(clone), **_pipelines()}
    images = _named(chart, sources, others)
    if digest_of is not None:
        images = {
            name: dataclasses.replace(image, digest=image.digest or digest_of(image))
            for name, image in images.items()
        }
    contents = bundled(chart, sources, images, registry=registry)
    record = BundleRecord(
        version=__version__,
        chart=chart.archive,
        registry=registry,
        images=tuple(image.text for image in _sorted(images)),
        files=len(contents) + 2,
    )
    contents[RECORD] = f"{json.dumps(dataclasses.asdict(record), indent=2)}\n".encode()
    contents[SUMS] = _sums(contents)
    with files.replacing(out, records=(RECORD,)) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            os.utime(folder / name, (TIME, TIME))
    return record


def bundled(
    chart: Chart, sources: Mapping[str, str], images: Images, *, registry: str | None
) -> dict[str, bytes]:
    """Return the content of each file but the record and the sums."""
    targets = {name: image.within(registry) for name, image in images.items()}
    sent, kept = ({image.tagged for image in side.values()} for side in (images, targets))
    if len(kept) < len(sent):
        shown = ", ".join(image.text for image in _sorted(images))
        raise errors.UsageError(
            f"two of these images would have one name in {registry}: {shown}; wanted names that "
            "differ behind their host"
        )
    changes = {name: target.pulled for name, target in targets.items()}
    texts = {name: imagerefs.replaced(text, changes) for name, text in sources.items()}
    chosen = {place: targets[image.pulled] for place, image in chart.images.items()}
    texts["values.yaml"] = yaml.safe_dump(_values(chosen, registry=registry))
    texts["images.txt"] = "".join(f"{image.text}\n" for image in _sorted(images))
    steps = min(imagerefs.in_text(texts[f"pipelines/{compiled.TRAINING[False]}"]))
    texts["README.md"] = _readme(chart, _sorted(images), registry=registry, steps=steps)
    archive = archived(chart.contents, folder=chart.name)
    return {chart.archive: archive, **{name: text.encode() for name, text in texts.items()}}


def archived(contents: Mapping[str, bytes], *, folder: str) -> bytes:
    """Return the files as `helm package` packs them, but the same bytes whenever it is."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(contents.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(content), TIME
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _named(chart: Chart, sources: Mapping[str, str], others: Sequence[str]) -> Images:
    found = {name for text in sources.values() for name in imagerefs.in_text(text)}
    charts = {image.pulled: image for image in chart.images.values()}
    return {**charts, **{name: imagerefs.parse(name) for name in {*found, *others}}}


def _sorted(images: Images) -> list[imagerefs.ImageRef]:
    return sorted(set(images.values()))


def _values(
    images: Mapping[tuple[str, ...], imagerefs.ImageRef], *, registry: str | None
) -> dict[str, Any]:
    """Return the chart's values that choose these images."""
    chosen: dict[str, Any] = {}
    for place, image in images.items():
        section = chosen
        for key in place:
            section = section.setdefault(key, {})
        host = registry or image.name.removesuffix(image.path).rstrip("/")
        repository = image.name.removeprefix(host).lstrip("/")
        section.update(registry=host, repository=repository, tag=image.tag, digest=image.digest)
    return chosen


def _readme(
    chart: Chart,
    images: Sequence[imagerefs.ImageRef],
    *,
    registry: str | None,
    steps: str,
) -> str:
    copy, mirror = "skopeo copy --all --preserve-digests", registry or "$REGISTRY"
    pairs = [(image, f"dir:images/{re.sub('[/:@]', '-', image.tagged)}") for image in images]
    settings = (f"{'.'.join(place)}.registry={mirror}" for place in chart.images)
    template = Path(__file__).with_name("airgapped.md").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        version=__version__,
        chart=chart.archive,
        first="" if registry else UNNAMED,
        saving="\n".join(f"{copy} docker://{image.pulled} {folder}" for image, folder in pairs),
        loading="\n".join(
            f'{copy} {folder} "docker://{image.within(mirror).tagged}"' for image, folder in pairs
        ),
        settings="" if registry else "".join(f" \\\n  --set {setting}" for setting in settings),
        steps=steps,
    )


def _sums(contents: Mapping[str, bytes]) -> bytes:
    """Return the digests as `sha256sum --check` reads them."""
    lines = (
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(contents.items())
    )
    return "".join(lines).encode()


def _chart(clone: Path) -> Chart:
    contents = _read(clone, "helm/fairway")
    about, values = (yaml.safe_load(contents[name]) for name in ("Chart.yaml", "values.yaml"))
    return Chart(
        contents=contents,
        name=about["name"],
        archive=f"charts/{about['name']}-{about['version']}.tgz",
        images=dict(imagerefs.in_values(values, version=about["appVersion"])),
    )


def _manifests(clone: Path) -> dict[str, str]:
    return {
        f"manifests/{part}/{name}": content.decode()
        for part in MANIFESTS
        for name, content in _read(clone, f"manifests/{part}").items()
    }


def _pipelines() -> dict[str, str]:
    """Return the compiled pipelines and the components' YAML by their places in the bundle."""
    names = {*compiled.TRAINING.values(), *(f"{name}.yaml" for name in compiled.PIPELINES)}
    found = {f"pipelines/{name}": compiled.find(name) for name in sorted(names)}
    for file in compiled.components().values():
        found[f"components/{file.relative_to(file.parents[2])}"] = file
    return {name: file.read_text(encoding="utf-8") for name, file in found.items()}


def _read(clone: Path, part: str) -> dict[str, bytes]:
    """Return the content of each file of a folder of the clone, by its name there."""
    folder = clone / part
    if not folder.is_dir():
        raise errors.PlatformError(
            f"{part} is not in {clone}, for it is no part of an installed fairway: run `make setup` in a "
            "clone, and `.venv/bin/fairway bundle` there"
        )
    found = sorted(file for file in folder.rglob("*") if file.suffix in KINDS)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}
