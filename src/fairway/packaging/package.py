"""The model package: what training hands to serving. `build` makes one, `load` verifies one,
`revision` names one in service.

    manifest.json        what is in it, where it came from, the digest of every file
    model.onnx           the graph that serves; model.safetensors and model.pt2 beside it for torch models
    preprocessing.json   fitted on the training split
    schema.json          names, kinds, ranges and categories of the features
    golden.json          rows with their answers, which a server must reproduce before it is ready
    reference.npz        raw test rows with the model's answers: what drift is measured against
    evaluation.json      what was measured on the test split; report.html to read

Nothing in it is a pickle, nothing in it depends on the clock or the machine: the same inputs give
the same digest.
"""

import hashlib
from pathlib import Path

from fairway import __version__, artifacts, errors, files
from fairway.addresses import web
from fairway.config import sections
from fairway.model.schema import Schema
from fairway.packaging import golden, manifest, store
from fairway.packaging.manifest import Manifest, load

__all__ = ["Manifest", "build", "import_onnx", "load", "revision"]

REVISION_LENGTH = 12  # a 64-character digest is no legal label
OPTIONAL_WEIGHTS = ("model.safetensors", "model.pt2")


def build(
    *,
    name: str,
    dataset: Path,
    checkpoint: Path,
    evaluation: Path | None,
    gate: artifacts.GateDecision | None,
    config: sections.Config,
    out: Path,
) -> artifacts.Package:
    """Return the package of a checkpoint, in `out/<digest>/`. Building the same again gives the
    same package."""
    data = artifacts.from_json(artifacts.Dataset, _json(dataset / "dataset.json"))
    fitted = artifacts.from_json(artifacts.Checkpoint, _json(checkpoint / "checkpoint.json"))
    if fitted.dataset_version != data.version:
        raise errors.PackageError(
            f"{checkpoint} was trained on dataset {fitted.dataset_version}, {dataset} is {data.version}: "
            "wanted one; train again"
        )
    schema = Schema.from_json(_json(dataset / "schema.json"))
    measured = _evaluation(evaluation)
    with store.workshop(out) as folder:
        _copy(folder, dataset=dataset, checkpoint=checkpoint, evaluation=evaluation)
        _write_rows(folder, dataset=dataset, layout=fitted.layout, schema=schema)
        made = store.put(
            out,
            folder=folder,
            describe=lambda files: manifest.describe(
                name=name,
                schema=schema,
                layout=fitted.layout,
                lineage=_lineage(data, fitted, gate=gate, config=config),
                licence=config.licence,
                evaluation=measured,
                files=files,
            ),
        )
    return made.record()


def import_onnx(
    model: Path,
    *,
    schema: Path,
    name: str,
    out: Path,
    evaluation: Path | None = None,
    licence: str = "unspecified",
) -> artifacts.Package:
    """Return the package of a graph that was trained elsewhere; `packaging.imported` explains the
    schema file."""
    # ONNX Runtime with it, which naming a revision does not need
    from fairway.packaging import imported

    return imported.import_onnx(
        model, schema=schema, name=name, out=out, evaluation=evaluation, licence=licence
    )


def revision(digest: str, *, serving: sections.Serving, image: str = "local") -> str:
    """Return the 12 characters that name what could behave differently: package, serving section
    and image."""
    identity = {
        "package": digest,
        "image": image,
        "serving": serving.model_dump(mode="json", by_alias=True),
    }
    return hashlib.sha256(files.canonical(identity)).hexdigest()[:REVISION_LENGTH]


def _copy(folder: Path, *, dataset: Path, checkpoint: Path, evaluation: Path | None) -> None:
    for source in (
        checkpoint / "model.onnx",
        dataset / "preprocessing.json",
        dataset / "schema.json",
    ):
        store.copy(source, target=folder / source.name)
    optional = [checkpoint / weights for weights in OPTIONAL_WEIGHTS]
    if evaluation is not None:
        root = evaluation if evaluation.is_dir() else evaluation.parent
        store.copy(root / "evaluation.json", target=folder / "evaluation.json")
        optional.append(root / "report.html")
    for source in optional:
        if source.is_file():
            store.copy(source, target=folder / source.name)


def _write_rows(folder: Path, *, dataset: Path, layout: str, schema: Schema) -> None:
    """Write golden rows and the reference window: test rows that went through the serving path."""
    # pyarrow and ONNX Runtime, which naming a revision does not need
    from fairway.data import splits
    from fairway.packaging import answering

    raw, numbers = splits.columns(dataset, "test")
    answer = answering.load(folder, layout=layout, schema=schema)
    rows = golden.columns_of(raw, features=schema.features)
    golden.write(folder, rows, answer=answer, schema=schema)
    golden.write_reference(folder, rows, numbers=numbers, answer=answer)


def _lineage(
    data: artifacts.Dataset,
    fitted: artifacts.Checkpoint,
    *,
    gate: artifacts.GateDecision | None,
    config: sections.Config,
) -> artifacts.Json:
    fitted_by = configuration(config, training=fitted.configuration)
    named = (*config.data.paths(), *config.data.addresses())
    return {
        "datasetVersion": data.version,
        "source": data.source,
        "data": {
            "places": {key: fitted_by["data"][key] for key in named},
            "files": data.lineage.get("files", {}),
            "labelled": data.lineage.get("extra", {}),
            "rows": data.rows,
            "split": data.lineage.get("split", {}),
        },
        "codeVersion": __version__,
        "configuration": fitted_by,
        "configurationDigest": files.digest_bytes(files.canonical(fitted_by)),
        "seed": fitted.seed,
        "gate": artifacts.as_json(gate) if gate else None,
    }


def configuration(config: sections.Config, *, training: artifacts.Json) -> artifacts.Json:
    """Return the sections that made the model; files by name, because a folder of this machine is
    nothing to digest, and addresses without what may be secret in them. `training` is what was
    fitted: a search may have chosen other settings than the configuration's."""
    sections = {
        name: getattr(config, name).model_dump(mode="json", by_alias=True)
        for name in ("data", "evaluation")
    }
    data = sections["data"]
    data |= {key: path.name for key, path in config.data.paths().items()}
    data |= {key: web.shown(address) for key, address in config.data.addresses().items()}
    data["extra"] = [Path(extra).name for extra in data["extra"]]
    return {**sections, "training": training}


def _evaluation(folder: Path | None) -> artifacts.Evaluation | None:
    if folder is None:
        return None
    return artifacts.from_json(
        artifacts.Evaluation, _json(folder / "evaluation.json" if folder.is_dir() else folder)
    )


def _json(path: Path) -> artifacts.Json:
    try:
        return artifacts.read_json(path)
    except (OSError, ValueError) as error:
        raise errors.PackageError(
            f"{path} cannot be read ({error}): run the stage that writes it"
        ) from error
