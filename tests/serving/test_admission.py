"""What is begun and what is refused: the backlog of the threads, the lag of the event loop, the
bodies under way."""

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fairway.serving import admission, protocol, uploads
from tests.serving import support


def backlog(*, timeout: float = 10.0, most: int = 100) -> admission.Backlog:
    return admission.Backlog(threads=1, timeout=timeout, most=most)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - a thread sets no event of the loop
        await asyncio.sleep(0.001)


async def behind(
    queue: admission.Backlog, costs: list[float], then: Callable[[], Awaitable[None]]
) -> list[Any]:
    """Do something while one request holds the thread and others, of these costs, wait behind it;
    gives what the others were answered."""
    done, deadline = threading.Event(), asyncio.get_running_loop().time() + 10
    first = asyncio.create_task(queue.run(done.wait, cost=0.1, deadline=deadline))
    await until(lambda: queue.busy == 1)
    others = [
        asyncio.create_task(queue.run(lambda: "answered", cost=cost, deadline=deadline))
        for cost in costs
    ]
    try:
        await until(lambda: queue.waiting == len(costs))
        await then()
    finally:
        done.set()
    await first
    return await asyncio.gather(*others)


def refusal(queue: admission.Backlog, *, shadow: bool = False) -> int | None:
    """Return the status that a request gets now; None where it may join."""
    try:
        queue.admit(longest=admission.longest_wait(10.0, shadow=shadow))
    except protocol.Invalid as error:
        return error.status
    return None


@pytest.mark.parametrize(
    ("costs", "stable", "shadow"),
    [([], None, None), ([0.1], None, None), ([0.1, 0.1], None, 429), ([0.3, 0.3], 429, 429)],
    ids=["in-work-only", "little", "some", "much"],
)
def test_what_waits_decides_by_its_work_and_copies_are_shed_first(
    costs: list[float], stable: int | None, shadow: int | None
) -> None:
    async def story() -> None:
        queue, found = backlog(), []

        async def ask() -> None:
            found.extend([refusal(queue), refusal(queue, shadow=True)])

        assert await behind(queue, costs, ask) == ["answered"] * len(costs)
        assert found == [stable, shadow]
        assert (refusal(queue), queue.waiting) == (None, 0)

    asyncio.run(story())


def test_more_requests_than_the_bound_are_refused() -> None:
    async def story() -> None:
        queue = backlog(most=2)

        async def ask() -> None:
            assert refusal(queue) == 429

        await behind(queue, [0.01], ask)

    asyncio.run(story())


def test_a_request_past_its_deadline_is_refused_and_never_computed() -> None:
    async def story() -> None:
        queue, computed = backlog(), []

        async def late() -> None:
            with pytest.raises(admission.NotAdmitted, match="turn did not come"):
                await queue.run(
                    lambda: computed.append(1),
                    cost=0.1,
                    deadline=asyncio.get_running_loop().time() + 0.05,
                )
            assert queue.waiting == 0

        await behind(queue, [], late)
        assert (
            await queue.run(
                lambda: "next", cost=0.1, deadline=asyncio.get_running_loop().time() + 10
            )
            == "next"
        )
        assert computed == []

    asyncio.run(story())


def test_a_thread_that_does_not_come_back_is_the_revisions_fault() -> None:
    async def story() -> None:
        queue = backlog(timeout=0.05)

        async def ask() -> None:
            with pytest.raises(TimeoutError):
                await queue.run(
                    lambda: None, cost=0.01, deadline=asyncio.get_running_loop().time() + 0.1
                )
            assert refusal(queue) == 503

        await behind(queue, [], ask)

    asyncio.run(story())


def test_work_that_takes_longer_than_calibrated_weighs_more_from_then_on() -> None:
    async def story() -> None:
        queue, pause = backlog(), threading.Event()
        for _ in range(30):
            await queue.run(
                lambda: pause.wait(0.01),
                cost=0.001,
                deadline=asyncio.get_running_loop().time() + 10,
            )

        async def ask() -> None:
            assert queue.wait() > 0.05

        await behind(queue, [0.01], ask)

    asyncio.run(story())


def test_a_dear_refusal_weighs_more_from_then_on_and_a_cheap_one_tells_nothing() -> None:
    async def story() -> None:
        queue, pause, waits = backlog(), threading.Event(), []

        def refuse(seconds: float) -> None:
            pause.wait(seconds)
            raise protocol.Invalid("no")

        async def ask() -> None:
            waits.append(queue.wait())

        for seconds in (0.0, 0.02):
            for _ in range(20):
                with pytest.raises(protocol.Invalid, match="no"):
                    await queue.run(
                        functools.partial(refuse, seconds),
                        cost=0.005,
                        deadline=asyncio.get_running_loop().time() + 10,
                    )
            await behind(queue, [0.01], ask)
        assert waits[0] >= 0.01
        assert waits[1] > 2 * 0.01

    asyncio.run(story())


def test_work_that_began_too_late_is_refused_for_load_and_is_nobodys_fault() -> None:
    async def story() -> None:
        queue, first, second, loop = (
            backlog(),
            threading.Event(),
            threading.Event(),
            asyncio.get_running_loop(),
        )
        before = asyncio.create_task(queue.run(first.wait, cost=0.1, deadline=loop.time() + 10))
        late = asyncio.create_task(queue.run(second.wait, cost=0.1, deadline=loop.time() + 0.3))
        await until(lambda: (queue.busy, queue.waiting) == (1, 1))
        first.set()
        await before
        try:
            with pytest.raises(admission.NotAdmitted, match="turn did not come"):
                await late
        finally:
            second.set()

    asyncio.run(story())


async def asked(
    turns: admission.Turns, number: int, order: list[int], *, longest: float = 10.0
) -> str:
    """Answer a request that takes half a round."""
    try:
        await turns.mine(cost=admission.ROUND_SECONDS / 2, longest=longest)
    except admission.NotAdmitted as refused:
        return str(refused.status)
    order.append(number)
    return "answered"


def test_the_loop_answers_in_the_order_of_arrival_a_little_in_each_round() -> None:
    async def story() -> None:
        turns, order = admission.Turns(), []

        async def rounds() -> None:
            for _ in range(4):
                await asyncio.sleep(0)
                order.append(-1)

        await asyncio.gather(*(asked(turns, number, order) for number in range(6)), rounds())
        assert [number for number in order if number >= 0] == list(range(6))
        assert order.index(2) > order.index(-1)
        assert turns.longest() > 0
        assert (turns.longest(), turns.wait()) == (0.0, 0.0)

    asyncio.run(story())


def test_a_request_is_refused_where_what_waits_takes_too_long() -> None:
    async def story() -> None:
        turns, order = admission.Turns(), []
        found = await asyncio.gather(
            *(asked(turns, number, order, longest=0.0) for number in range(5))
        )
        assert found == ["answered"] * 3 + ["429"] * 2
        assert await asked(turns, 5, order, longest=0.0) == "answered"

    asyncio.run(story())


def test_more_rows_than_may_be_are_refused_before_they_are_read() -> None:
    features = support.features({"name": "age", "kind": "number"})
    body = (
        b'{"inputs": [{"name": "age", "datatype": "FP64", "shape": [3], "data": "not even read"}]}'
    )
    with pytest.raises(protocol.Invalid, match="has 3 rows: wanted at most 2") as refused:
        protocol.parse(body, features=features, outputs={}, most_rows=2)
    assert refused.value.status == 413


async def half(_: int = 0) -> dict[str, Any]:
    """Receive the beginning of a body, whose rest never comes."""
    await asyncio.sleep(0.001)
    return {"type": "http.request", "body": b"x" * 1000, "more_body": True}


def held(under_way: uploads.Uploads) -> "asyncio.Task[bytes]":
    parts = iter([half(), asyncio.Event().wait()])
    return asyncio.create_task(under_way.read(lambda: next(parts), announced=2000))


def whole() -> Awaitable[dict[str, Any]]:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"whole", "more_body": False}

    return receive()


def test_the_oldest_body_under_way_gives_way_to_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST", 3)

    async def story() -> None:
        under_way = uploads.Uploads(largest=10_000, seconds=10)
        bodies = [held(under_way) for _ in range(3)]
        await until(lambda: len(under_way._under_way) == 3)
        assert await under_way.read(whole, announced=5) == b"whole"
        with pytest.raises(protocol.Invalid, match="needed its place") as refused:
            await bodies[0]
        assert (refused.value.status, [body.done() for body in bodies[1:]]) == (408, [False, False])
        for body in bodies[1:]:
            body.cancel()

    asyncio.run(story())


def test_a_body_takes_the_place_of_one_whose_time_is_up_in_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "MOST", 1)

    async def story() -> None:
        under_way, loop = uploads.Uploads(largest=10_000, seconds=0.1), asyncio.get_running_loop()
        coming: list[asyncio.Task[bytes]] = []
        oldest, end = held(under_way), loop.time() + 0.05
        loop.call_at(
            end + 0.049,
            lambda: coming.append(asyncio.create_task(under_way.read(whole, announced=5))),
        )
        loop.call_at(end, time.sleep, 0.1)  # the loop is busy until both are due
        with pytest.raises(protocol.Invalid, match="did not come"):
            await oldest
        assert await coming[0] == b"whole"

    asyncio.run(story())


def test_bodies_under_way_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 2500)

    async def story() -> None:
        under_way = uploads.Uploads(largest=2000, seconds=10)
        bodies = [held(under_way) for _ in range(3)]
        done, _ = await asyncio.wait(bodies, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        assert done == {bodies[0]}
        for body in bodies:
            body.cancel()
        await asyncio.gather(*bodies, return_exceptions=True)

    asyncio.run(story())


def test_a_body_that_does_not_come_is_408() -> None:
    async def story() -> None:
        with pytest.raises(
            protocol.Invalid, match=r"did not come: wanted all of it within 0.05 s"
        ) as refused:
            await held(uploads.Uploads(largest=10_000, seconds=0.05))
        assert refused.value.status == 408

    asyncio.run(story())
