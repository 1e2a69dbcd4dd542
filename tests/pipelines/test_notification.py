"""Who is told how a run ended: what is sent, by which secret, and what becomes of it."""

import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest
from kfp import dsl

from components.operations.notify import notify as notify_component
from components.operations.tell import tell
from fairway import errors
from fairway.config import sections
from fairway.pipelines import compiled, notification
from tests.receiver import receiver

END = notification.RunEnd(
    deployment="income",
    namespace="models",
    pipeline="fairway-training",
    run="0a1b",
    outcome="refused",
    reason="accuracy 0.81 is below 0.85",
)
TOLD = sections.Notify()


def sent(section=TOLD, end=END, **environment: str) -> str:
    return notification.notify(section, end, environment=environment, pause_seconds=0)


def test_a_refusal_is_told_as_slack_takes_it():
    with receiver() as webhook:
        said = sent(FAIRWAY_WEBHOOK_URL=webhook.url)
    [told] = webhook.told
    words = "models/income: run 0a1b of fairway-training refused: accuracy 0.81 is below 0.85"
    assert told["text"].endswith(words)
    assert told["contentType"] == "application/json"
    assert said == "the webhook was told that the run refused"


def test_as_json_each_fact_has_its_name():
    with receiver() as webhook:
        sent(sections.Notify(form="json"), FAIRWAY_WEBHOOK_URL=webhook.url)
    [told] = webhook.told
    facts = {"deployment": "income", "namespace": "models", "run": "0a1b", "outcome": "refused"}
    assert told.items() >= {**facts, "reason": "accuracy 0.81 is below 0.85"}.items()


def test_a_file_may_hold_the_url(tmp_path: Path):
    with receiver() as webhook:
        (tmp_path / "url").write_text(f"{webhook.url}\n")
        sent(FAIRWAY_WEBHOOK_URL_FILE=str(tmp_path / "url"))
    assert len(webhook.told) == 1


def test_without_a_url_nobody_is_told_and_the_sentence_says_so():
    assert "nobody is told: neither FAIRWAY_WEBHOOK_URL nor" in sent()


def test_an_end_that_is_not_asked_for_is_not_told():
    with receiver() as webhook:
        said = sent(sections.Notify(outcomes=("failed",)), FAIRWAY_WEBHOOK_URL=webhook.url)
    assert webhook.told == []
    assert said == "the run refused: nobody is told (pipeline.notify.outcomes has failed)"


@pytest.mark.parametrize(
    ("status", "kind"), [(404, errors.PlatformError), (503, errors.Unavailable)]
)
def test_a_webhook_that_takes_nothing_is_told_of_without_its_url(status, kind):
    with receiver(status=status) as webhook:
        with pytest.raises(kind, match=f"the webhook answered {status}") as raised:
            sent(FAIRWAY_WEBHOOK_URL=webhook.url)
        assert webhook.url not in str(raised.value)
        assert raised.value.__cause__ is None
    assert len(webhook.told) == (1 if status == 404 else 6)  # what may pass is tried again


def test_a_redirect_does_not_carry_the_secret_elsewhere():
    with (
        receiver() as elsewhere,
        receiver(status=302, headers={"location": elsewhere.url}) as webhook,
        pytest.raises(errors.PlatformError, match="the webhook answered 302"),
    ):
        sent(FAIRWAY_WEBHOOK_URL=webhook.url)
    assert elsewhere.told == []


def test_nothing_that_listens_is_unavailable():
    with receiver() as gone:
        url = gone.url
    with pytest.raises(errors.Unavailable, match="does not answer") as raised:
        sent(FAIRWAY_WEBHOOK_URL=url)
    assert url not in str(raised.value)


def test_a_webhook_that_never_ends_its_answer_holds_no_run():
    over = threading.Event()

    def promise(asked: socket.socket) -> None:
        with asked, contextlib.suppress(OSError):
            while not over.is_set():
                asked.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def listen(server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the test's end
            while True:
                threading.Thread(target=promise, args=server.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=listen, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        try:
            with pytest.raises(errors.Unavailable, match="does not answer") as raised:
                notification.notify(
                    TOLD,
                    END,
                    environment={"FAIRWAY_WEBHOOK_URL": url},
                    pause_seconds=0,
                    timeout_seconds=0.1,
                )
        finally:
            over.set()
    assert url not in str(raised.value)


def test_what_is_no_address_is_used_wrongly():
    with pytest.raises(errors.UsageError, match="starts neither with https://") as raised:
        sent(FAIRWAY_WEBHOOK_URL="hooks.example.com/T0/secret")
    assert "secret" not in str(raised.value)


def test_a_long_reason_is_cut():
    end = notification.RunEnd(**{**END.__dict__, "reason": "x" * 9000})
    assert len(notification.body(end, form="slack")["text"]) < 2200


CONFIG = json.dumps(
    {"name": "income", "data": {"path": "rows.csv", "target": "label"}, "namespace": "models"}
)


@pytest.mark.parametrize(
    ("state", "told"), [("FAILED", ["failed: a step broke"]), ("SUCCEEDED", [])]
)
def test_the_exit_task_tells_of_a_failure_and_is_green(state, told, monkeypatch):
    status = dsl.PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="",
        pipeline_task_name="",
        error_code=1,
        error_message="a step broke",
    )
    with receiver() as webhook:
        monkeypatch.setenv("FAIRWAY_WEBHOOK_URL", webhook.url)
        notify_component.python_func(
            config=CONFIG, pipeline="fairway-training", run="0a1b", status=status
        )
    assert [one["text"].partition("fairway-training ")[2] for one in webhook.told] == told


def test_a_message_that_cannot_be_delivered_changes_no_run_and_is_said(monkeypatch, capsys):
    with receiver(status=404) as webhook:
        monkeypatch.setenv("FAIRWAY_WEBHOOK_URL", webhook.url)
        said = tell.python_func(
            config=CONFIG, pipeline="fairway-training", run="0a1b", outcome="refused", reason="why"
        )
    assert said.startswith("nobody could be told that the run refused: the webhook answered 404")
    assert said in capsys.readouterr().out


def test_the_url_comes_from_a_secret_that_the_telling_steps_alone_are_given():
    asked = sections.Pipeline.model_validate(
        {"notify": {"url": {"secret": "hooks", "key": "models"}}}
    )
    documents = compiled.filled(compiled.read(compiled.find("monitoring.yaml")), asked)
    given = {
        name
        for name in compiled.containers(documents[0])
        if "secretAsEnv" in compiled.kubernetes_of(documents, name)
    }
    assert given == {"exec-notify", "exec-tell", "exec-tell-2"}
    [secret] = compiled.kubernetes_of(documents, "exec-notify")["secretAsEnv"]
    assert secret["secretName"] == "hooks"
    assert secret["keyToEnv"] == [{"envVar": "FAIRWAY_WEBHOOK_URL", "secretKey": "models"}]
