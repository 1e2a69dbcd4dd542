"""What an answer of the API server becomes."""

import json

import pytest
from kubernetes.client import ApiException

from fairway import errors
from fairway.platforms.kubernetes import api

ANSWERS = {
    "not there": (404, "Not Found", api.NotFound),
    "written in between": (409, "Conflict", api.Conflict),
    "may not": (403, "Forbidden", api.Forbidden),
    "overloaded": (429, "Too Many Requests", errors.Unavailable),
    "wrong": (422, "Unprocessable Entity", errors.PlatformError),
    "TLS broken off by a restart": (
        0,
        "SSLError\n[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol",
        errors.Unavailable,
    ),
    "a certificate of another": (
        0,
        "SSLError\n[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate",
        errors.PlatformError,
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_becomes_what_can_be_done_about_it_in_one_line(case: str) -> None:
    status, reason, kind = ANSWERS[case]
    found = api._translated(ApiException(status=status, reason=reason), "GET /apis")
    assert type(found) is kind
    assert "\n" not in str(found)


def test_an_apply_to_another_object_of_the_name_is_a_conflict() -> None:
    error = ApiException(status=422, reason="Unprocessable Entity")
    error.body = json.dumps(
        {
            "message": 'Service "income" is invalid: metadata.uid: Invalid value: "1": field is immutable'
        }
    )
    assert type(api._translated(error, "PATCH /api")) is api.Conflict


def test_the_servers_own_sentence_is_kept() -> None:
    error = ApiException(status=422, reason="Unprocessable Entity")
    error.body = json.dumps({"message": "spec.runtime: runtime cannot be changed"})
    assert str(api._translated(error, "PATCH /apis")).endswith(
        "refused PATCH /apis: spec.runtime: runtime cannot be changed"
    )
