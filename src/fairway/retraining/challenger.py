"""Trains a challenger: the newest labelled answers written down, the training pipeline run on the
old rows and these. The very newest are kept from it: on them it must be better than the model in
service, or it is not deployed.

    python -m fairway.retraining.challenger --home HOME --deployment NAME --config FILE --champion PACKAGE

Ends with the exit status of the run: 0 where a package was made (and deployed, where the
configuration says so), 3 where it was refused: it is not better, or too few answers have a label.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from fairway import artifacts, errors
from fairway.config import loader, sections
from fairway.data import importing
from fairway.evaluation import paired
from fairway.model import tasks
from fairway.monitoring.eventstore import answers, archive, places
from fairway.packaging import manifest
from fairway.pipelines import listeners, run
from fairway.retraining import policy

LABELLED = importing.LABELLED


def write_labelled(
    store: archive.EventStore,
    deployment: str,
    *,
    namespace: str = answers.NAMESPACE,
    champion: Path,
    limit: int,
    out: Path,
) -> int:
    """Write the newest labelled rows with the raw features and the target of the champion's schema;
    gives how many.

    Requests of a model with other features, labels that are not one for each row, and those that
    the task cannot read are left out: they would join nothing.
    """
    found = store.history.training_rows(deployment, namespace=namespace, limit=limit)
    return write_rows(found, package=manifest.load(champion), out=out)


def write_rows(
    requests: Iterable[answers.LabelledInputs], *, package: manifest.Manifest, out: Path
) -> int:
    """Write these labelled requests as `write_labelled` does."""
    names = [feature.name for feature in package.features]
    columns: dict[str, list[object]] = {name: [] for name in (*names, package.target)}
    for request in requests:
        given = {name: request.inputs.get(name) or [] for name in names}
        if any(len(values) != len(request.labels) for values in given.values()):
            continue
        for row, said in enumerate(request.labels):
            label = _label(said, package)
            if label is not None:
                for name in names:
                    columns[name].append(given[name][row])
                columns[package.target].append(label)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.writing")
    pd.DataFrame(columns).to_parquet(temporary)
    temporary.replace(out)
    return len(columns[package.target])


def _label(said: Any, package: manifest.Manifest) -> Any:
    """Return the label that was meant, None where none was; a word that is no class yet may be a
    new one."""
    found = tasks.of(package.schema).label(said, package.schema)
    return (
        said
        if found is None and package.schema.task == tasks.USUAL and isinstance(said, str)
        else found
    )


def held_out(section: sections.Retraining, *, labelled: int) -> int | None:
    """Return how many of the newest labelled rows are kept for the comparison, None where they are
    too few to compare on."""
    part, whole = policy.MOST_HELD_OUT
    rows = min(section.held_out, labelled * part // whole)
    return rows if rows >= paired.LEAST_ROWS else None


def with_labelled(config: sections.Config, extra: Path | None, *, held_out: int) -> sections.Config:
    """Return the configuration of a run in which the labelled rows join what is learnt from, but for
    the newest, on which the challenger must be better; earlier files of the kind are replaced. None:
    the rows lie beside what the import brings."""
    kept = tuple(path for path in config.data.extra if path.name != LABELLED)
    data = {
        "extra": (*kept, *([extra] if extra is not None else [])),
        "held_out": held_out,
        "sliding": config.retraining.sliding,
    }
    gate = config.evaluation.gate.model_copy(update={"better": True})
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=data),
            "evaluation": config.evaluation.model_copy(update={"gate": gate}),
        }
    )


def train(
    config: sections.Config,
    *,
    home: Path,
    deployment: str,
    champion: Path,
    name: str,
    why: str = "",
    recorded: run.Recorded | None = None,
) -> run.TrainingRun:
    """Return the run, refused at once where too few answers have a label."""
    folder = home / "runs" / name
    extra = folder / LABELLED
    rows = write_labelled(
        places.opened(home / "events.db"),
        deployment,
        namespace=config.namespace,
        champion=champion,
        limit=config.retraining.max_new_rows,
        out=extra,
    )
    compared = held_out(config.retraining, labelled=rows)
    if compared is None:
        return _too_few(rows, folder=folder, name=name, why=why)
    print(
        f"{rows - compared} labelled rows join what is learnt from; the newest {compared} are kept "
        "for the comparison with the model in service",
        flush=True,
    )
    return run.run_training(
        with_labelled(config, extra, held_out=compared),
        home=home,
        champion=champion,
        deploy=config.retraining.deploy,
        name=name,
        why=why,
        recorded=recorded,
    )


def too_few(rows: int) -> str:
    """Return why nothing is trained with so few labelled rows."""
    return (
        f"{rows} answers have a label and logged inputs: wanted {policy.LEAST_LABELLED}, of which three in "
        "ten are kept for the comparison with the model in service; send more labels "
        "(`fairway label`)"
    )


def _too_few(rows: int, *, folder: Path, name: str, why: str) -> run.TrainingRun:
    made = run.TrainingRun(
        run=name,
        outcome="refused",
        reason=too_few(rows),
        package=None,
        revision=None,
        steps=(),
        seconds=0.0,
        folder=str(folder),
        why=why,
    )
    artifacts.write_json(folder / "run.json", made)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--deployment", required=True)
    parser.add_argument(
        "--config", type=Path, required=True, help="The deployment's configuration, as JSON."
    )
    parser.add_argument("--champion", type=Path, required=True)
    parser.add_argument("--run", required=True, help="Name of the run.")
    parser.add_argument("--why", default="", help="Why it begins.")
    arguments = parser.parse_args()
    try:
        config = loader.check(artifacts.read_json(arguments.config), where=str(arguments.config))
        with listeners.telling(config, warn=lambda said: print(f"warning: {said}")) as recorded:
            record = train(
                config,
                home=arguments.home,
                deployment=arguments.deployment,
                champion=arguments.champion,
                name=arguments.run,
                why=arguments.why,
                recorded=recorded,
            )
    except errors.FairwayError as error:
        sys.exit(f"fairway: {error}")
    print(f"{record.outcome}: {record.reason}", flush=True)
    sys.exit(0 if record.outcome != "refused" else errors.Refused.exit_status)


if __name__ == "__main__":
    main()
