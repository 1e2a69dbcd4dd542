"""What one look of the supervisor takes from the deployments, whatever their order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.platforms.local import state, supervisor
from fairway.platforms.local.home import Home
from tests.platforms.local import test_state


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[supervisor.Supervisor]:
    made = supervisor.Supervisor(Home(tmp_path))
    yield made
    made.state.close()


def deploy(watched: supervisor.Supervisor, name: str, *, every: str) -> None:
    revision = test_state.revision({})
    config = {**revision.config, "platform": {**revision.config["platform"], "scrapeInterval": every}}
    watched.state.deploy(state.Revision(**{**vars(revision), "deployment": name, "config": config}), now=1.0)


@pytest.mark.parametrize("order", [("500ms", "1m"), ("1m", "500ms")])
def test_the_deployment_that_wants_the_most_looks_has_them_wherever_it_stands(watched, order):
    for name, every in zip("ab", order, strict=True):
        deploy(watched, name, every=every)
    assert watched.shortest_interval() == 0.5


def test_while_nothing_is_deployed_there_is_a_look_each_second(watched):
    assert watched.shortest_interval() == 1.0
