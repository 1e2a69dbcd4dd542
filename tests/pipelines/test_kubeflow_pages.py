"""Runs on a cluster, page by page as the API gives them."""

from typing import Any

import pytest
from kfp_server_api import (
    RunServiceApi,
    V2beta1ListRunsResponse,
    V2beta1Run,
    V2beta1RuntimeConfig,
)

from fairway.cli import run_places
from fairway.pipelines import kubeflow

RUNS = 250


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pages that were asked for; the client's last call, which would open a connection, is
    replaced. Every hundredth run is of the deployment `rare`."""
    asked: list[int] = []

    def page(self: RunServiceApi, **said: Any) -> V2beta1ListRunsResponse:
        first = int(said.get("page_token") or 0)
        asked.append(said["page_size"])
        until = min(first + said["page_size"], RUNS)
        runs = [run(number) for number in range(first, until)]
        return V2beta1ListRunsResponse(
            runs=runs, next_page_token=str(until) if until < RUNS else ""
        )

    monkeypatch.setattr(RunServiceApi, "run_service_list_runs", page)
    return asked


def run(number: int) -> V2beta1Run:
    name = "rare" if number % 100 == 99 else "usual"
    parameters = {"config": f'{{"name": "{name}"}}'}
    return V2beta1Run(
        run_id=f"{number}",
        display_name=f"{name}-{number}",
        state="SUCCEEDED",
        runtime_config=V2beta1RuntimeConfig(parameters=parameters),
    )


def newest(deployment: str | None, *, limit: int) -> list[str]:
    access = kubeflow.KubeflowAccess(host="http://127.0.0.1:9")
    with run_places.there(access) as place:
        return [one["run"] for one in place.newest(deployment=deployment, limit=limit)]


def test_the_newest_runs_of_one_deployment_are_found_behind_those_of_others(
    listed: list[int],
) -> None:
    assert newest("rare", limit=20) == ["99", "199"]


def test_no_more_pages_are_asked_for_than_are_shown(listed: list[int]) -> None:
    assert newest(None, limit=20) == [str(number) for number in range(20)]
    assert listed == [20]
    assert newest("rare", limit=1) == ["99"]
