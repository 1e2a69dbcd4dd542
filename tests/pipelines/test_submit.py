"""Submitting to a cluster: the name that makes asking twice one run, what is adopted, what is
refused."""

import socket

import pytest
from kfp_server_api import V2beta1Run

from fairway import errors
from fairway.config import loader
from fairway.pipelines import compiled, submit


def settings(*overrides: str):
    return loader.load(
        None, overrides=["name=digits", "data.source=digits", "data.target=digit", *overrides]
    )


def test_the_same_request_has_the_same_name_and_another_has_another():
    documents = compiled.for_training(settings())
    names = [
        submit.run_name_of("digits", documents, {"config": config}) for config in ("a", "a", "b")
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


def test_an_address_where_nothing_answers_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        errors.Unavailable,
        match=f"does not answer at http://127.0.0.1:{port}: .*name it with --host",
    ):
        submit.submit(settings(), host=f"http://127.0.0.1:{port}", asked=submit.Wishes())


def test_production_does_not_submit_an_image_that_may_change():
    with pytest.raises(
        errors.PlatformError, match=r"training-gpu\.yaml would fail silently: .*pinned by digest"
    ):
        submit.submit(
            settings("environment=production"),
            host="http://127.0.0.1:9",
            asked=submit.Wishes(),
        )
