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
    queue = Queue(clock=clock, share=4)
    queue.add(("models", "late"), delay=2)
    queue.add(("models", "soon"), delay=1)
    clock.now = 3.0
    assert [queue.take(), queue.take()] == [("models", "soon"), ("models", "late")]


def test_a_key_asked_for_twice_is_looked_at_once_at_the_earlier_time():
    clock = Clock()
    queue = Queue(clock=clock, share=4)
    queue.add(("models", "a"), delay=600)
    queue.add(("models", "a"))
    assert queue.take() == ("models", "a")
    assert len(queue) == 0


def test_a_key_in_work_waits_until_it_is_done_and_is_not_lost():
    queue = Queue(clock=Clock(), share=4)
    queue.add(("models", "a"))
    assert queue.take() == ("models", "a")
    queue.add(("models", "a"))
    queue.add(("models", "b"))
    assert queue.take() == ("models", "b")
    queue.done(("models", "a"))
    assert queue.take() == ("models", "a")


def test_a_waiting_worker_wakes_for_a_new_key_and_for_the_end():
    queue = Queue(clock=Clock(), share=4)
    taken: list[object] = []
    worker = threading.Thread(target=lambda: taken.extend([queue.take(), queue.take()]))
    worker.start()
    queue.add(("models", "a"))
    queue.close()
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert taken[-1] is None


def test_a_namespace_with_much_to_do_keeps_no_other_waiting():
    queue = Queue(clock=Clock(), share=4)
    for number in range(100):
        queue.add(("greedy", str(number)))
    queue.add(("models", "a"))
    queue.add(("research", "b"))
    taken = [queue.take() for _ in range(4)]
    assert {("models", "a"), ("research", "b")} <= set(taken[:3])


def test_a_namespace_has_no_more_than_its_share_in_work():
    queue = Queue(clock=Clock(), share=2)
    for name in ("a", "b", "c"):
        queue.add(("greedy", name))
    first, second = queue.take(), queue.take()
    queue.add(("models", "a"))
    assert queue.take() == ("models", "a")
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    taken: list[object] = []
    worker.start()
    queue.done(("greedy", "a"))
    worker.join(timeout=10)
    assert {first, second, *taken} == {("greedy", "a"), ("greedy", "b"), ("greedy", "c")}
