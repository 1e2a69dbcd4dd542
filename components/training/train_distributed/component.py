"""The training stage on several nodes as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_distributed(
    config: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    settings: str = "{}",
) -> None:
    """Fit the model on several nodes, by a TrainJob of Kubeflow Trainer that this step waits for; `settings` is
    what `tune` found, as JSON."""
    import json
    from pathlib import Path

    from fairway.pipelines import inputs
    from fairway.platforms.kubernetes import api, distributed

    asked = inputs.settings(config)
    chosen = asked.training.chosen(json.loads(settings))
    record = distributed.train(
        asked.model_copy(update={"training": chosen}),
        dataset=Path(dataset.path),
        out=Path(model.path),
        server=api.connect(),
        pod=distributed.this_pod(),
    )
    model.metadata.update(
        {
            "family": record.family,
            "seed": str(record.seed),
            "bestEpoch": str(record.best_epoch),
            "device": record.device,
        }
    )
