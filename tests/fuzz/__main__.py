"""Fuzz for longer than the tests do: `python -m tests.fuzz --examples 100000` sends so many, and
prints what came of them. The first 5xx ends it."""

import argparse
import collections
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz import mutations, targets
from tests.serving import support

SHARES = {"requests": 0.5, "messages": 0.1, "events": 0.25, "tables": 0.15}
WARM = 0.1  # of the examples, after which memory is what it will be


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=100_000, help="how many in all (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the first; each example has its own (default: %(default)s)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = targets.Application(Path(support.packaged(Path(folder) / "package").path))
        collector = targets.Collector(Path(folder))
        sends: dict[str, tuple[Any, Any, Callable[[Any], object]]] = {
            "requests": (
                mutations.body,
                targets.good_requests(),
                lambda sent: server.ask(*sent)[0],
            ),
            "messages": (
                mutations.body,
                targets.good_messages(),
                lambda sent: targets.read_message(sent[0], features=server.model.features),
            ),
            "events": (
                mutations.body,
                [targets.good_events()],
                lambda sent: collector.ask("/v1/events", *sent),
            ),
            "tables": (mutations.table, targets.TABLE, targets.replayed),
        }
        for name, (make, corpus, send) in sends.items():
            _play(
                name,
                lambda seed, make=make, corpus=corpus: make(mutations.Rolled(seed), corpus),
                send,
                seeds=range(
                    arguments.seed, arguments.seed + int(arguments.examples * SHARES[name])
                ),
            )
        collector.close()
        server.close()


def _play(
    name: str, make: Callable[[int], Any], send: Callable[[Any], object], *, seeds: range
) -> None:
    seen: collections.Counter[str] = collections.Counter()
    longest, began, warm = 0.0, time.perf_counter(), 0
    for number, seed in enumerate(seeds):
        sent = make(seed)
        before = time.process_time()
        said = str(send(sent))
        longest = max(longest, time.process_time() - before)
        assert not said.startswith("5"), f"seed {seed} was answered {said}: {str(sent)[:2_000]}"
        seen[said if len(said) < 12 else "a sentence"] += 1
        warm = _memory() if number == int(len(seeds) * WARM) else warm
    print(
        f"{name}: {len(seeds)} in {time.perf_counter() - began:.0f} s, at most {longest:.3f} s of a processor each, "
        f"{(_memory() - warm) / 2**20:+.1f} MiB over the last nine tenths; {dict(seen.most_common())}",
        flush=True,
    )


def _memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
