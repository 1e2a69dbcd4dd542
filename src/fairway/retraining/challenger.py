"""Trains a challenger: the newest labelled answers written down, the training pipeline run on the
old rows and these.

    python -m fairway.retraining.challenger --home HOME --deployment NAME --config FILE --champion PACKAGE

Ends with the exit status of the run: 0 where a package was made (and deployed, where the
configuration says so), 3 where the gate refused it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from fairway import artifacts, errors
from fairway.config import loader, sections
from fairway.model import tasks
from fairway.monitoring.eventstore import answers, archive, places
from fairway.packaging import manifest
from fairway.pipelines import run

LABELLED = "labelled.parquet"


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
    package = manifest.load(champion)
    names = [feature.name for feature in package.features]
    columns: dict[str, list[object]] = {name: [] for name in (*names, package.target)}
    for request in store.history.training_rows(deployment, namespace=namespace, limit=limit):
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


def with_labelled(config: sections.Config, extra: Path) -> sections.Config:
    """Return the configuration with the labelled rows joined to its training split; earlier files
    of the kind are replaced."""
    kept = tuple(path for path in config.data.extra if path.name != LABELLED)
    return config.model_copy(
        update={"data": config.data.model_copy(update={"extra": (*kept, extra)})}
    )


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
    arguments = parser.parse_args()
    try:
        config = loader.check(artifacts.read_json(arguments.config), where=str(arguments.config))
        extra = arguments.home / "runs" / arguments.run / LABELLED
        rows = write_labelled(
            places.opened(arguments.home / "events.db"),
            arguments.deployment,
            namespace=config.namespace,
            champion=arguments.champion,
            limit=config.retraining.max_new_rows,
            out=extra,
        )
        print(f"{rows} labelled rows join the training split", flush=True)
        record = run.run_training(
            with_labelled(config, extra),
            home=arguments.home,
            champion=arguments.champion,
            deploy=config.retraining.deploy,
            name=arguments.run,
        )
    except errors.FairwayError as error:
        sys.exit(f"fairway: {error}")
    print(f"{record.outcome}: {record.reason}", flush=True)
    sys.exit(0 if record.outcome != "refused" else errors.Refused.exit_status)


if __name__ == "__main__":
    main()
