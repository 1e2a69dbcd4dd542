"""Telling a webhook how a run ended, as the exit task of a pipeline: a side effect, never cached."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def notify(config: str, pipeline: str, run: str, status: dsl.PipelineTaskFinalStatus) -> str:
    """Tell the webhook in FAIRWAY_WEBHOOK_URL how the run ended, by the status that a dsl.ExitHandler
    gives its exit task, where `pipeline.notify` asks for it. The run ends as its steps did, whatever
    becomes of the message."""
    from fairway.pipelines import inputs, notification

    outcome, reason = notification.of_status(status.state, status.error_message or "")
    said = notification.told(
        inputs.settings(config), pipeline=pipeline, run=run, outcome=outcome, reason=reason
    )
    print(said)
    return said
