"""The queue: the earliest first, one look at a resource at a time, nothing forgotten."""

import threading

from fairway.operator.queue import Queue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_earliest_is_given_out_first():
    clock = Clock()
    queue = Queue(clock=clock)
    queue.add(("models", "late"), delay=2)
    queue.add(("models", "soon"), delay=1)
    clock.now = 3.0
    assert [queue.take(), queue.take()] == [("models", "soon"), ("models", "late")]


def test_a_key_asked_for_twice_is_looked_at_once_at_the_earlier_time():
    clock = Clock()
    queue = Queue(clock=clock)
    queue.add(("models", "a"), delay=600)
    queue.add(("models", "a"))
    assert queue.take() == ("models", "a")
    assert len(queue) == 0


def test_a_key_in_work_waits_until_it_is_done_and_is_not_lost():
    queue = Queue(clock=Clock())
    queue.add(("models", "a"))
    assert queue.take() == ("models", "a")
    queue.add(("models", "a"))
    queue.add(("models", "b"))
    assert queue.take() == ("models", "b")
    queue.done(("models", "a"))
    assert queue.take() == ("models", "a")


def test_a_waiting_worker_wakes_for_a_new_key_and_for_the_end():
    queue = Queue(clock=Clock())
    taken: list[object] = []
    worker = threading.Thread(target=lambda: taken.extend([queue.take(), queue.take()]))
    worker.start()
    queue.add(("models", "a"))
    queue.close()
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert taken[-1] is None
