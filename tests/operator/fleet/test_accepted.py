"""What people accept is written through the collector beside a monitor that concludes meanwhile."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from fairway.cli import accepting, past
from fairway.monitoring import acceptance, stretch
from fairway.monitoring.eventstore import batches, distant
from fairway.monitoring.labelling import samples
from tests.operator.fleet.test_fleet import (  # noqa: F401 - fixtures
    LEARNT,
    NAMESPACE,
    Stage,
    packaged,
    stage,
)

pytestmark = pytest.mark.timeout(600)


def requests(
    stage: Stage,  # noqa: F811
    between: Callable[[], object] = lambda: None,
) -> past.PastRequests:
    """Return what `fairway monitor accept` finds; `between` happens after it has read the turn."""
    store = distant.Distant(stage.line, namespace=NAMESPACE, deployment="income")

    @contextlib.contextmanager
    def writing() -> Iterator[None]:
        store.follow()
        between()
        yield

    return past.PastRequests(
        past=store.history,
        shelf=store.shelf,
        learnt=store.shelf,
        store=store,
        reference=True,
        asked=samples.DrawnFrom(
            meant=stretch.asked("income"),
            namespace=NAMESPACE,
            revision="aaa",
            schema=stage.packaged.schema,
        ),
        reading=contextlib.nullcontext,
        writing=writing,
    )


def test_what_is_accepted_through_the_collector_closes_the_ticket_and_is_learnt_anew(
    stage: Stage,  # noqa: F811
) -> None:
    stage.deploy()
    stage.show()
    fleet = stage.monitor()
    stage.play(fleet, LEARNT)
    assert stage.play(fleet, 30, shift=1.0)
    concludes = iter([True, True])

    def meanwhile() -> None:
        if next(concludes, False):
            stage.play(fleet, 1, shift=1.0)

    seen = len(stage.windows())
    made, ticket = accepting._accepted(requests(stage, meanwhile), who="ana", why="a campaign")
    assert ticket is not None
    assert "age +" in ticket["summary"]
    assert len(stage.windows()) == seen + 2  # the monitor was not overtaken
    stage.serve(shift=1.0)
    fleet = stage.monitor()  # another process: the first was killed
    assert stage.look(fleet) == 1
    assert stage.condition() == ("False", "Learning")
    assert "ticket" not in stage.monitoring()
    assert stage.monitoring()["learnt"] == f"1/{LEARNT}"
    (found,) = [one for one in stage.status()["conditions"] if one["type"] == "Monitored"]
    assert found["message"].endswith(f"; accepted by {made.who}: a campaign")
    assert stage.concluded() == [("InputDrift", f"{NAMESPACE}/income", False)]
    stage.play(fleet, LEARNT - 1, shift=1.0)
    assert stage.play(fleet, 3, shift=1.0) == 0
    assert stage.condition() == ("True", "Usual")
    assert len(stage.windows()) == len(set(stage.windows())) == seen + 2 + LEARNT + 3
    assert stage.play(stage.monitor(), 30, shift=2.5)


def test_the_event_of_what_was_accepted_is_posted_while_it_is_news(
    stage: Stage,  # noqa: F811
) -> None:
    stage.deploy()
    stage.show()
    fleet = stage.monitor()
    stage.play(fleet, 1)
    made, _ = accepting._accepted(requests(stage), who="ana", why="a campaign")
    stage.now = made.at
    stage.look(fleet)
    stage.look(fleet)
    told = f"DriftAccepted: accepted by {made.who}: a campaign; what is usual is learnt anew"
    assert stage.cluster.events.count(told) == 1
    stage.now = made.at + 7200
    stage.look(stage.monitor())
    assert stage.cluster.events.count(told) == 1


def test_who_accepts_gives_up_where_a_monitor_concludes_each_time_in_between(
    stage: Stage,  # noqa: F811
) -> None:
    stage.deploy()
    stage.show()
    fleet = stage.monitor()
    stage.play(fleet, 1)
    asked = requests(stage, lambda: stage.play(fleet, 1))
    with pytest.raises(batches.Overtaken, match="another monitor has concluded"):
        accepting._accepted(asked, who="ana", why="a campaign")
    assert acceptance.kept(asked.learnt) == []
    made, _ = accepting._accepted(requests(stage), who="ana", why="it is")
    again, _ = accepting._accepted(requests(stage), who="ana", why="it is")
    assert acceptance.newest(asked.learnt) == again
    assert dataclasses.replace(again, at=made.at) == made
