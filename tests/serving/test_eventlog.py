import errno
import os
import signal
from collections.abc import Iterator

import numpy as np
import orjson
import prometheus_client
import pytest

from fairway.config import sections
from fairway.monitoring.eventstore import cloudevents
from fairway.serving import eventlog, spool
from tests.serving import support

FAST = sections.Events.model_validate({"interval": "10ms"})


@pytest.fixture
def receiver() -> Iterator[support.Receiver]:
    receiver = support.Receiver()
    yield receiver
    receiver.close()


def record(number: int, **changes: object) -> eventlog.Record:
    plain = eventlog.Record(
        request_id=f"r{number}",
        unit=None,
        role="stable",
        status=200,
        at=1.5,
        seconds=0.001,
        digest="0" * 16,
    )
    return plain._replace(**changes)


def log_to(
    url: str, folder, *, revision: str, settings: sections.Events = FAST
) -> eventlog.EventLog:
    return eventlog.EventLog(
        settings,
        origin=eventlog.Origin(namespace="n", deployment="d", revision=revision),
        collector=url,
        folder=folder,
    )


def dropped(revision: str, reason: str) -> float:
    labels = {
        "namespace": "n",
        "deployment": "d",
        "revision": revision,
        "role": "stable",
        "reason": reason,
    }
    return (
        prometheus_client.REGISTRY.get_sample_value("fairway_serving_events_dropped_total", labels)
        or 0.0
    )


def test_an_event_has_the_fields_of_cloudevents_and_null_for_a_missing_number():
    inputs = {
        "age": np.array([np.nan, 3.0]),
        "sector": np.array(["a", None], dtype=object),
        "image": np.ones((2, 3), dtype=np.float32),
    }
    origin = eventlog.Origin(namespace="n", deployment="d", revision="r")
    line = eventlog.encode(record(1, inputs=inputs, rows=2), origin=origin, sample=1.0)
    event = orjson.loads(line)
    assert (event["id"], event["source"], event["time"]) == (
        "r1/r/stable",
        "/fairway/n/d/r",
        "1970-01-01T00:00:01.500000Z",
    )
    assert event["data"]["inputs"] == {
        "age": [None, 3.0],
        "sector": ["a", None],
        "image": [[1.0, 1.0, 1.0]] * 2,
    }


def test_an_event_says_what_its_answers_are_of_where_they_are_no_classes():
    answered = record(
        1, rows=2, labels=[1.5, -3.0], probabilities=np.array([[1.5], [-3.0]], dtype=np.float32)
    )
    named = {"namespace": "n", "deployment": "d", "revision": "r"}
    task = {"name": "regression", "spread": 10.0}
    numbers = orjson.loads(
        eventlog.encode(answered, origin=eventlog.Origin(**named, task=task), sample=1.0)
    )
    assert (numbers["data"]["labels"], numbers["data"]["task"]) == ([1.5, -3.0], task)
    assert cloudevents.parse(numbers).task == '{"name":"regression","spread":10.0}'
    classes = orjson.loads(eventlog.encode(record(1), origin=eventlog.Origin(**named), sample=1.0))
    assert "task" not in classes["data"]


def test_sampling_keeps_about_its_share_and_always_the_same_requests():
    kept = [number for number in range(10_000) if eventlog.sampled(f"r{number}", share=0.2)]
    assert 1_800 < len(kept) < 2_200
    assert all(eventlog.sampled(f"r{number}", share=0.5) for number in kept)


def test_what_is_queued_at_the_end_is_delivered(receiver, tmp_path):
    receiver.open()
    log = log_to(
        receiver.url,
        tmp_path,
        revision="end",
        settings=sections.Events.model_validate({"interval": "1h"}),
    )
    log.start()
    for number in range(500):
        log.append(record(number))
    log.close()
    assert len(set(receiver.ids)) == 500


AHEAD = sections.Events.model_validate({"interval": "10ms", "writeAhead": True})


def test_what_is_written_ahead_is_on_disk_at_once_and_goes_when_it_is_delivered(receiver, tmp_path):
    log = log_to(receiver.url, tmp_path, revision="ahead", settings=AHEAD)
    for number in range(5):
        log.append(record(number))
        assert sum(len(file.read_bytes().splitlines()) for file in tmp_path.iterdir()) == number + 1
    receiver.open()
    log.start()
    support.eventually(lambda: not list(tmp_path.iterdir()))
    log.close()
    assert receiver.ids == [f"r{number}/ahead/stable" for number in range(5)]


def test_what_was_written_ahead_by_a_server_that_was_killed_is_delivered_by_the_next(
    receiver, tmp_path
):
    receiver.open()
    killed = os.fork()
    if not killed:
        log_to(receiver.url, tmp_path, revision="next", settings=AHEAD).append(record(1))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(killed, 0)
    log = log_to(receiver.url, tmp_path, revision="next", settings=AHEAD)
    log.start()
    support.eventually(lambda: receiver.ids == ["r1/next/stable"])
    log.close()


def test_a_spool_that_takes_no_more_leaves_the_event_to_memory(receiver, tmp_path):
    receiver.open()
    log = log_to(receiver.url, tmp_path / "file" / "folder", revision="memory", settings=AHEAD)
    (tmp_path / "file").touch()
    log.append(record(1))
    log.start()
    log.close()
    assert receiver.ids == ["r1/memory/stable"]


def test_what_cannot_be_delivered_at_the_end_is_on_disk(receiver, tmp_path):
    log = log_to(receiver.url, tmp_path, revision="disk")
    log.start()
    for number in range(5):
        log.append(record(number))
    log.close()
    assert sum(len(file.read_bytes().splitlines()) for file in tmp_path.iterdir()) == 5


def test_a_full_queue_drops_and_counts_instead_of_waiting(receiver, tmp_path):
    log = log_to(
        receiver.url,
        tmp_path,
        revision="queue",
        settings=sections.Events.model_validate({"queue": 10, "interval": "1h"}),
    )
    for number in range(15):
        log.append(record(number))
    log.start()
    log.close()
    assert dropped("queue", "queue") == 5


def test_an_event_that_the_collector_will_never_take_is_dropped_alone(receiver, tmp_path):
    receiver.open()
    receiver.status = 400
    log = log_to(
        receiver.url,
        tmp_path,
        revision="poison",
        settings=sections.Events.model_validate({"interval": "1h"}),
    )
    log.append(record(1))
    log.start()
    log.close()
    assert dropped("poison", "refused") == 1
    assert not list(tmp_path.iterdir())


def test_without_a_collector_nothing_is_kept():
    log = log_to("", None, revision="none")
    log.start()
    log.append(record(1))
    log.close()
    assert not log._queue


def test_a_full_disk_is_counted_and_leaves_whole_lines(receiver, tmp_path, monkeypatch, caplog):
    write = os.write

    def full_after_two(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size >= 2 * len(data):
            write(descriptor, data[:7])  # as a disk does: a part of the line fits
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(spool.os, "write", full_after_two)
    log = log_to(receiver.url, tmp_path, revision="enospc")
    log.start()
    for number in range(6):
        log.append(record(number))
    log.close()
    lines = [line for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    assert len([orjson.loads(line) for line in lines]) + dropped("enospc", "disk") == 6
    assert sum("dropped and counted" in message for message in caplog.messages) == 1


def test_the_spool_keeps_its_bound_and_the_oldest(tmp_path):
    bounded = spool.Spool(tmp_path, limit_bytes=35)
    assert bounded.append([b"x" * 9] * 5) == spool.Appended(written=3, reason="full")
    assert bounded.bytes_used() == 30


def test_segments_are_replayed_oldest_first_and_by_one_at_a_time(tmp_path):
    first, second = (spool.Spool(tmp_path, limit_bytes=1 << 20, segment_bytes=8) for _ in range(2))
    first.append([b"line-1", b"line-2", b"line-3"])
    first.seal()
    seen = []
    for segment in second.replay():
        seen += segment.lines()
        assert all(other.lines() != segment.lines() for other in first.replay())
        segment.acknowledge()
    assert seen == [b"line-1", b"line-2", b"line-3"]
    assert not list(tmp_path.iterdir())


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "00000000000000000001-1-1.jsonl").write_bytes(b'{"a":1}\n{"b"')
    (segment,) = [segment.lines() for segment in spool.Spool(tmp_path, limit_bytes=1).replay()]
    assert segment == [b'{"a":1}']


def test_the_queue_holds_so_many_bytes_of_requests_whatever_their_number(receiver, tmp_path):
    """Clients choose how large a request is: 20,000 of 8 MiB would be the memory of ten machines."""
    receiver.open()
    log = log_to(
        receiver.url,
        tmp_path,
        revision="large",
        settings=sections.Events.model_validate({"interval": "1h"}),
    )
    log.start()
    for number in range(10):
        log.append(record(number, size=8 << 20))
    log.close()
    assert receiver.ids == [f"r{number}/large/stable" for number in range(4)]
    assert dropped("large", "queue") == 6
