"""Telling a webhook which branch a run took, as a component: a side effect, never cached."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell(config: str, pipeline: str, run: str, outcome: str, reason: str) -> str:
    """Tell the webhook in FAIRWAY_WEBHOOK_URL what a green run came to that no exit task knows of:
    `refused` or `waited`, with its reason, where `pipeline.notify` asks for it."""
    from fairway.pipelines import inputs, notification

    said = notification.told(
        inputs.settings(config), pipeline=pipeline, run=run, outcome=outcome, reason=reason
    )
    print(said)
    return said
