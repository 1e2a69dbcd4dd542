"""Submitting to a cluster: the name that makes asking twice one run, what is adopted, what is
refused."""

import json
import socket
from pathlib import Path

import pytest
from kfp_server_api import (
    RecurringRunServiceApi,
    V2beta1Experiment,
    V2beta1ListRecurringRunsResponse,
    V2beta1RecurringRun,
    V2beta1Run,
)
from kubernetes.config import kube_config

from fairway import errors
from fairway.config import loader
from fairway.pipelines import compiled, kubeflow, submit


def settings(*overrides: str):
    return loader.load(
        None, overrides=["name=digits", "data.source=digits", "data.target=digit", *overrides]
    )


@pytest.fixture
def api(monkeypatch):
    """The client's own API classes with their last call, which would open a connection, replaced:
    what is sent is kept, in the types of the API."""
    from kfp import Client

    sent: list[object] = []

    def taken(self, recurring_run):
        sent.append(recurring_run)
        return V2beta1RecurringRun(recurring_run_id="new")

    def listed(self, **asked):
        sent.append(asked["filter"])
        return V2beta1ListRecurringRunsResponse(
            recurring_runs=[V2beta1RecurringRun(recurring_run_id="old")]
        )

    api = RecurringRunServiceApi
    monkeypatch.setattr(api, "recurring_run_service_create_recurring_run", taken)
    monkeypatch.setattr(api, "recurring_run_service_list_recurring_runs", listed)
    monkeypatch.setattr(
        api,
        "recurring_run_service_delete_recurring_run",
        lambda self, recurring_run_id: sent.append(recurring_run_id),
    )
    monkeypatch.setattr(
        Client,
        "create_experiment",
        lambda self, name, namespace=None: V2beta1Experiment(experiment_id="theirs"),
    )
    return sent


# a namespace of one's own spares the client its question for how many users there are
ACCESS = kubeflow.KubeflowAccess(host="http://127.0.0.1:9", namespace="models")


def test_a_schedule_catches_up_on_nothing_runs_one_at_a_time_and_replaces_the_one_before(api):
    theirs = settings("pipeline.serviceAccount=trainer")
    made = submit.schedule(
        theirs, cron="30 3 * * 1-5", access=ACCESS, asked=submit.Wishes(fail_on_refusal=True)
    )
    asked, run, deleted = api
    assert '"stringValue": "digits-training"' in asked
    assert run.trigger.cron_schedule.cron == "0 30 3 * * 1-5"
    assert (run.no_catchup, run.max_concurrency, run.mode) == (True, 1, "ENABLE")
    assert (run.display_name, run.service_account) == ("digits-training", "trainer")
    assert run.runtime_config.parameters["fail_on_refusal"] is True
    assert run.pipeline_spec["pipeline_spec"]["pipelineInfo"]["name"] == "fairway-training"
    assert deleted == "old"
    assert (made["schedule"], made["replaced"]) == ("new", 1)


def test_a_schedule_is_taken_away_by_its_deployment(api):
    assert submit.unschedule(settings(), access=ACCESS) == {
        "name": "digits-training",
        "removed": 1,
    }
    assert api[-1] == "old"


@pytest.mark.parametrize("cron", ["", "0 3 * *", "0 0 3 * * *", "@daily", "0 3 * * *; reboot"])
def test_what_is_no_cron_expression_is_used_wrongly(cron):
    with pytest.raises(errors.UsageError, match="wanted minute, hour, day, month and weekday"):
        submit.times(cron)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("61 3 * * *", "minute is '61': wanted numbers from 0 to 59"),
        ("0 3 0 * *", "day is '0': wanted numbers from 1 to 31"),
        ("0 3 * 1-13 *", "month is '1-13'"),
        ("*/0 3 * * *", r"minute is '\*/0'"),
    ],
)
def test_a_time_that_no_clock_shows_is_used_wrongly(cron, words):
    with pytest.raises(errors.UsageError, match=words):
        submit.times(cron)


@pytest.mark.parametrize("cron", ["*/90 3,5 1-31/2 * MON-FRI", "0 3 ? * 7"])
def test_what_cron_takes_is_taken(cron):
    assert submit.times(cron)["cron_expression"] == f"0 {cron}"


def test_a_token_is_read_at_each_request_and_a_cookie_and_an_authority_from_their_files(tmp_path):
    from kfp import Client

    token, cookie, ca = (tmp_path / name for name in ("token", "cookie", "ca.pem"))
    token.write_text("first")
    cookie.write_text("authservice_session=MTY\n")
    ca.write_text("")
    access = kubeflow.KubeflowAccess(
        host="https://kubeflow.example.com/pipeline",
        namespace="models",
        token_file=token,
        cookie_file=cookie,
        ca_file=ca,
    )
    access.check()
    told = kubeflow.arguments(access)
    assert (told["cookies"], told["ssl_ca_cert"]) == ("authservice_session=MTY", str(ca))
    with pytest.warns(FutureWarning):
        client = Client(**told | {"ssl_ca_cert": None})
    configuration = client._existing_config
    assert configuration.host == "https://kubeflow.example.com/pipeline"
    for said in ("first", "second"):
        token.write_text(said)
        assert configuration.get_api_key_with_prefix("authorization") == f"Bearer {said}"


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ({"token_file": Path("token")}, "go to an address: add --host"),
        ({"cookie_file": Path("cookie")}, "go to an address: add --host"),
        ({"host": "http://a", "context": "kind"}, "--context names a cluster of the kubeconfig"),
        ({"host": "http://a", "token_file": Path("none")}, "--token-file none is not there"),
        ({"host": "ftp://a"}, "--host is ftp://a: wanted an address such as https://"),
    ],
)
def test_who_asks_must_not_contradict_itself(access, words):
    with pytest.raises(errors.UsageError, match=words):
        kubeflow.KubeflowAccess(**access).check()


CLUSTERS = """\
apiVersion: v1
kind: Config
clusters: [{name: one, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: staging, context: {cluster: one}}, {name: live, context: {cluster: one}}]
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CLUSTERS, r"the kubeconfig .*/config has staging, live: name one that it has"),
        (CLUSTERS.replace("[{name: staging", "[] #"), r"the kubeconfig .*/config has none"),
        ("", r"the kubeconfig .*/config cannot be read \(.* is empty\): set KUBECONFIG"),
        (None, r"the kubeconfig .*/config has none"),
    ],
    ids=["others", "none", "empty", "no file"],
)
def test_a_context_that_is_not_there_is_told_with_those_that_are(
    content, words, tmp_path, monkeypatch
):
    place = tmp_path / "config"
    if content is not None:
        place.write_text(content)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(place))
    access = kubeflow.KubeflowAccess(context="nosuch")
    with (
        pytest.raises(errors.UsageError, match=f"^--context is nosuch, and {words}"),
        kubeflow.connected(access),
    ):
        pass


def test_parameters_that_no_process_can_be_given_are_refused_before_they_are_sent():
    config = settings("environment=kind", "platform.kind=kubernetes")
    one = config.model_dump_json(by_alias=True)
    few, lots = ({"configs": [one] * number} for number in (4, 60))
    asked = submit.Wishes(pipeline="many", more=few)
    assert submit.request(config, asked=asked).arguments["configs"] == few["configs"]
    with pytest.raises(
        errors.UsageError,
        match=r"^the run's parameters have \d+ bytes, of which configs has \d+: wanted at most 122880",
    ):
        submit.request(config, asked=submit.Wishes(pipeline="many", more=lots))


def test_the_same_request_has_the_same_name_and_another_has_another():
    documents = compiled.for_training(settings())
    names = [
        submit.run_name_of("digits-training", documents, {"config": config})
        for config in ("a", "a", "b")
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("digits-training-")


@pytest.mark.parametrize(
    ("state", "adopted"),
    [
        ("RUNNING", "1"),
        ("PENDING", "1"),
        ("PAUSED", "1"),
        (None, "1"),
        ("SUCCEEDED", None),
        ("FAILED", None),
        ("CANCELED", None),
    ],
)
def test_a_run_of_the_name_is_adopted_while_it_goes_on(state, adopted):
    runs = [
        V2beta1Run(run_id="0", display_name="another", state="RUNNING"),
        V2beta1Run(run_id="1", display_name="digits", state=state),
    ]
    assert submit.adopted(runs, name="digits") == adopted


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"pipeline": "retraining", "more": {"labels": "s3://labels/new.csv"}, "deploy": True},
            {"labels": "s3://labels/new.csv", "deploy_package": True, "compare_with": ""},
        ),
        (
            {"pipeline": "monitoring", "more": {"before": "", "after": "", "p_value": 0.05}},
            {"p_value": 0.05, "deploy_package": False},
        ),
        ({"pipeline": "many", "more": {"configs": ["{}", "{}"]}}, {"configs": ["{}", "{}"]}),
        (
            {"pipeline": "batch", "more": {"rows": "s3://rows/day.csv", "keep": ["id"], "to": ""}},
            {"rows": "s3://rows/day.csv", "keep": ["id"], "to": ""},
        ),
    ],
    ids=lambda one: one.get("pipeline", ""),
)
def test_each_pipeline_is_sent_with_its_own_parameters(asked, told):
    sent = submit.request(settings("platform.store=s3://kept/models"), asked=submit.Wishes(**asked))
    assert sent.variant == f"{asked['pipeline']}.yaml"
    assert sent.arguments.items() >= told.items()
    known = sent.documents[0]["root"]["inputDefinitions"]["parameters"]
    assert set(sent.arguments) <= set(known)
    needed = {name for name, one in known.items() if not one.get("isOptional")}
    assert needed <= set(sent.arguments)


def test_what_differs_between_runs_is_in_small_parameters_under_their_sections_names():
    store = "platform.store=s3://kept/models"
    rows = ("data.source=csv", "data.path=https://rows.example/a.csv?signature=secret")
    theirs = settings(store, *rows, "data.target=digit", "training.family=boosting")
    told = submit.request(theirs, asked=submit.Wishes()).arguments
    other = settings(store, *rows, "training.family=boosting", "evaluation.gate.threshold=0.8")
    later = submit.request(other, asked=submit.Wishes()).arguments
    assert told["data"] == "source=csv, target=digit, path=https://rows.example/a.csv"
    assert (told["training"], later["training"]) == ("family=boosting", "family=boosting")
    assert (told["evaluation"], later["evaluation"]) == ("", "gate.threshold=0.8")
    columns = json.dumps([f"column_{number}" for number in range(900)])
    wide = submit.request(settings(store, f"data.ignore={columns}"), asked=submit.Wishes())
    assert len(wide.arguments["data"]) < 1100


def test_batch_prediction_needs_no_data_of_the_configuration():
    theirs = settings("data.source=csv", "data.path=rows.csv")
    asked = {"rows": "s3://rows/day.csv"}
    submit.request(theirs, asked=submit.Wishes(pipeline="batch", more=asked))
    with pytest.raises(
        errors.UsageError, match=r"data\.path is .*rows\.csv, a file of this machine"
    ):
        submit.request(theirs, asked=submit.Wishes())


def test_an_address_where_nothing_answers_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        errors.Unavailable,
        match=f"does not answer at http://127.0.0.1:{port}: .*name it with --host",
    ):
        submit.submit(
            settings(),
            access=kubeflow.KubeflowAccess(host=f"http://127.0.0.1:{port}"),
            asked=submit.Wishes(),
        )


def test_production_does_not_submit_an_image_that_may_change():
    with pytest.raises(
        errors.PlatformError, match=r"training-gpu\.yaml would fail silently: .*pinned by digest"
    ):
        submit.submit(
            settings("environment=production"),
            access=kubeflow.KubeflowAccess(host="http://127.0.0.1:9"),
            asked=submit.Wishes(),
        )
