"""The training stage as a component."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(config: str, dataset: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> None:
    """Fits the model on the prepared splits and exports it."""
    import json
    from pathlib import Path

    from fairway.config import schema
    from fairway.training import fit

    settings = schema.Config.model_validate(json.loads(config))
    record = fit.fit(settings.training, dataset=Path(dataset.path), out=Path(model.path))
    model.metadata.update({"family": record.family, "seed": str(record.seed), "bestEpoch": str(record.best_epoch), "device": record.device})
