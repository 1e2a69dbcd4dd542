"""Where Alertmanager finds a monitor: who may tell it of alerts, and what the others are told."""

import contextlib
from pathlib import Path

import prometheus_client
import pytest

from fairway.monitoring import listener


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer another", "secret"])
@pytest.mark.parametrize("named", [True, False])
def test_who_shows_no_token_is_told_where_it_is(given: str, named: bool, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    address = listener.Listener(
        host="127.0.0.1",
        port=0,
        registry=prometheus_client.CollectorRegistry(),
        token=token if named else None,
    )
    with contextlib.closing(address):
        said = address.post("/v1/alerts", authorization=given, body=b'{"alerts": []}')
        assert said.status == 401
        assert (str(token) if named else "no alert is taken") in said.body.decode()
        taken = address.post("/v1/alerts", authorization="Bearer secret", body=b'{"alerts": []}')
        assert taken.status == (200 if named else 401)
