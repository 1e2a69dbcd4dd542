"""The four models of the demo: A, a better B, C with a wrong scale in its hand-written schema, D
with a table that is too short.

    python -m fairway.demo.models --home HOME --out FOLDER --seed N [--only A]

Runs as a process of its own, so that torch is in nobody's way. Prints one JSON line per package as
it is built.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fairway import artifacts, errors, files
from fairway.config import loader, sections
from fairway.data import prepare, splits
from fairway.evaluation import gate, measure
from fairway.packaging import package
from fairway.training import fit

NAME = "digits"
LEARNT = 1100  # of 1,797 rows; the others are what users send
CONFIG: dict[str, Any] = {
    "name": NAME,
    "licence": "Apache-2.0",
    "defaults": {"data": "digits", "training": "convolutional"},
    "data": {"limit": LEARNT, "split": {"validation": 0.15, "test": 0.25}},
    "training": {"epochs": 30, "threads": 1},
    "serving": {"revealRevision": True},  # the story counts what each revision answered
    "strategy": {
        "warmup": "1s",
        "progressDeadline": "60s",
        "shadow": {"minPairs": 500, "disagreementMargin": 0.05, "budget": "120s"},
        "canary": {
            "steps": [
                {"weight": 5, "minDuration": "3s"},
                {"weight": 25, "minDuration": "3s"},
                {"weight": 50, "minDuration": "3s"},
            ],
            "budget": "240s",
        },
        "bake": {"weight": 5, "duration": "5s"},
        "guards": [
            {"name": "disagreement", "type": "disagreement"},
            {"name": "errors", "type": "errors", "maxRate": 0.02},
            {
                "name": "slow",
                "type": "latency",
                "threshold": "1s",
                "maxRate": 0.05,
            },  # two cores also train: wider than usual
            {"name": "quality", "type": "quality"},
        ],
    },
    "monitoring": {"interval": "1s", "learn": {"rows": 1000, "duration": "0s"}},
    "retraining": {
        "minLabels": 200,
        "coolDown": "60s",
        "maxNewRows": 1000,
        # the story has minutes, and its pictures no hour: 960 labels must do
        "cycle": "1s",
        "falseStartsPerMonth": 1,
    },
}
# A is trained for too short a time, as first models are; B for as long as it takes.
TRAINED: dict[str, dict[str, Any]] = {"A": {"epochs": 6}, "B": {"epochs": 30}, "C": {"epochs": 30}}
INK_LEVELS = 40  # rows of D's table if it had been built from all pictures


def configuration(*, seed: int, out: Path) -> sections.Config:
    """Return the demo's configuration, and leaves it in `out/fairway.yaml` for the reader."""
    out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(
        {**CONFIG, "training": {**CONFIG["training"], "seed": seed}}, sort_keys=False
    )
    files.write_bytes(out / "fairway.yaml", text.encode())
    return loader.load(out / "fairway.yaml")


def trained(
    letter: str, *, config: sections.Config, out: Path, champion: Path | None, store: Path
) -> artifacts.Package:
    """Return the package of A, or of B against its champion: fitted, measured, let through by the
    gate."""
    section = config.training.model_copy(update=TRAINED[letter])
    folder = out / letter
    fit.fit(section, dataset=out / "dataset", out=folder / "checkpoint", resume=False)
    measured = measure.evaluate(
        config.evaluation,
        dataset=out / "dataset",
        checkpoint=folder / "checkpoint",
        champion=champion,
        out=folder / "evaluation",
    )
    decision = gate.decide(config.evaluation.gate, evaluation=measured)
    if not decision.promote:
        raise errors.Refused(f"the gate refused model {letter}: {decision.reason}")
    return package.build(
        name=config.name,
        dataset=out / "dataset",
        checkpoint=folder / "checkpoint",
        evaluation=folder / "evaluation" / "evaluation.json",
        gate=decision,
        config=config.model_copy(update={"training": section}),
        out=store,
    )


def mismatched(
    *, config: sections.Config, out: Path, champion: Path, store: Path
) -> artifacts.Package:
    """Return C: well trained, well measured, then packaged by hand with the scale of 8-bit pictures
    (1/255 for 1/16).

    Its golden rows were answered by the package itself, so every health check passes; nothing ever
    raises an error.
    """
    section = config.training.model_copy(update={**TRAINED["C"], "seed": config.training.seed + 1})
    folder = out / "C"
    fit.fit(section, dataset=out / "dataset", out=folder / "checkpoint", resume=False)
    measure.evaluate(
        config.evaluation,
        dataset=out / "dataset",
        checkpoint=folder / "checkpoint",
        champion=champion,
        out=folder / "evaluation",
    )
    described = _schema(
        out / "dataset",
        preprocessing={"image": [{"op": "scale", "offset": 0.0, "factor": 1 / 255}]},
        rows=_rows(out / "dataset", count=200),
        folder=folder,
    )
    return package.import_onnx(
        folder / "checkpoint" / "model.onnx",
        schema=described,
        name=config.name,
        out=store,
        evaluation=folder / "evaluation" / "evaluation.json",
    )


def short_table(
    *, config: sections.Config, out: Path, base: Path, store: Path
) -> artifacts.Package:
    """Return D: model B with a correction by amount of ink, looked up in a table that was built
    from light pictures only.

    A picture with more ink than any of those is beyond the table's end, and ONNX Runtime refuses
    the request.
    """
    folder = out / "D"
    folder.mkdir(parents=True, exist_ok=True)
    images = splits.load(out / "dataset").train.columns["image"]
    ink = images.reshape(len(images), -1).mean(axis=1) / 16 * INK_LEVELS
    rows = math.floor(float(np.quantile(ink, 0.90))) + 1
    _add_lookup(base / "model.onnx", rows=rows, target=folder / "model.onnx")
    light = _rows(out / "dataset", count=200, keep=ink < rows)
    described = _schema(
        out / "dataset",
        preprocessing={"image": [{"op": "scale", "offset": 0.0, "factor": 1 / 16}]},
        rows=light,
        folder=folder,
    )
    return package.import_onnx(folder / "model.onnx", schema=described, name=config.name, out=store)


def _add_lookup(source: Path, *, rows: int, target: Path) -> None:
    """Write the graph with its probabilities multiplied by table[amount of ink]; the table holds
    ones."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    for node in graph.node:
        node.output[:] = [
            "uncorrected" if name == "probabilities" else name for name in node.output
        ]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.ones(rows, dtype=np.float32), "ink_table"),
            numpy_helper.from_array(np.array(INK_LEVELS, dtype=np.float32), "ink_levels"),
            numpy_helper.from_array(np.array([-1, 1], dtype=np.int64), "column"),
        ]
    )
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < 18:
        raise errors.TrainingError(f"the graph has operator set {opset}: wanted 18 or newer")
    graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3], dtype=np.int64), "pixels"))
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["image", "pixels"], ["ink_mean"], keepdims=0),
            helper.make_node("Mul", ["ink_mean", "ink_levels"], ["ink_scaled"]),
            helper.make_node("Cast", ["ink_scaled"], ["ink"], to=TensorProto.INT64),
            helper.make_node("Gather", ["ink_table", "ink"], ["correction"]),
            helper.make_node("Reshape", ["correction", "column"], ["correction_column"]),
            helper.make_node("Mul", ["uncorrected", "correction_column"], ["probabilities"]),
        ]
    )
    onnx.checker.check_model(model)
    files.write_bytes(target, model.SerializeToString())


def _rows(dataset: Path, *, count: int, keep: Any = None) -> list[dict[str, Any]]:
    images = splits.load(dataset).train.columns["image"]
    chosen = images if keep is None else images[keep]
    return [{"image": image.ravel().tolist()} for image in chosen[:count]]


def _schema(
    dataset: Path, *, preprocessing: dict[str, Any], rows: list[dict[str, Any]], folder: Path
) -> Path:
    """Write the schema file that a person would write by hand for `fairway package model.onnx
    --schema FILE`."""
    known = artifacts.read_json(dataset / "schema.json")
    artifacts.write_json(folder / "rows.json", rows)
    described = {
        "target": known["target"],
        "classes": known["classes"],
        "layout": "named",
        "golden": "rows.json",
        "reference": "rows.json",
        "features": [{"name": "image", "kind": "image", "shape": [1, 8, 8], "range": [0, 16]}],
        "preprocessing": preprocessing,
    }
    files.write_bytes(folder / "schema.yaml", yaml.safe_dump(described, sort_keys=False).encode())
    return folder / "schema.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    out, store = arguments.out, arguments.store
    config = configuration(seed=arguments.seed, out=out)
    prepare.prepare(config.data, out=out / "dataset")
    made: dict[str, artifacts.Package] = {}

    def tell(letter: str, record: artifacts.Package) -> None:
        made[letter] = record
        print(json.dumps({"letter": letter, "path": record.path}), flush=True)

    tell("A", trained("A", config=config, out=out, champion=None, store=store))
    tell("B", trained("B", config=config, out=out, champion=Path(made["A"].path), store=store))
    tell("C", mismatched(config=config, out=out, champion=Path(made["B"].path), store=store))
    tell("D", short_table(config=config, out=out, base=Path(made["B"].path), store=store))


if __name__ == "__main__":
    main()
