"""The training stage as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    config: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    settings: str = "{}",
) -> None:
    """Fit the model on the prepared splits and exports it; `settings` is what `tune` found, as JSON."""
    import json
    from pathlib import Path

    from fairway.pipelines import inputs
    from fairway.training import fit

    asked = inputs.settings(config)
    record = fit.fit(
        asked.training.chosen(json.loads(settings)),
        dataset=Path(dataset.path),
        out=Path(model.path),
        workspace=asked.pipeline.workspace,
        progress=lambda epoch: print(
            f"progress: epoch {epoch['epoch']}",
            *(
                f"{key.replace('_', ' ')} {value:.4f}"
                for key, value in epoch.items()
                if key.startswith("validation")
            ),
        ),
    )
    model.metadata.update(
        {
            "family": record.family,
            "seed": str(record.seed),
            "bestEpoch": str(record.best_epoch),
            "device": record.device,
        }
    )
