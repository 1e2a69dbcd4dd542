"""Fuzz for longer than the tests do: `python -m tests.fuzz --examples 100000` sends so many bodies, and prints what came of them."""

import argparse
import collections
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import mutations, targets
from tests.serving import support

SHARES = {"requests": 0.6, "messages": 0.1, "events": 0.2, "tables": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="how many in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed sends others (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = targets.Application(Path(support.packaged(Path(folder) / "package").path))
        collector = targets.Collector(Path(folder))
        sends: dict[str, tuple[Any, Callable[[Any], object]]] = {
            "requests": (mutations.bodies(*targets.good_requests()), lambda sent: server.ask(*sent)[0]),
            "messages": (mutations.bodies(*targets.good_messages()), lambda sent: targets.read_message(sent[0], features=server.model.features)),
            "events": (mutations.bodies(targets.good_events()), lambda sent: collector.ask("/v1/events", *sent)),
            "tables": (mutations.tables(targets.TABLE), targets.replayed)}
        for name, (strategy, send) in sends.items():
            _play(name, strategy, send, examples=int(arguments.examples * SHARES[name]), number=arguments.seed)
        collector.close()
        server.close()


def _play(name: str, strategy: Any, send: Callable[[Any], object], *, examples: int, number: int) -> None:
    seen: collections.Counter[str] = collections.Counter()
    longest = 0.0

    @seed(number)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(sent=strategy)
    def plays(sent: Any) -> None:
        nonlocal longest
        began = time.perf_counter()
        said = str(send(sent))
        longest = max(longest, time.perf_counter() - began)
        assert not said.startswith("5"), said
        seen[said if len(said) < 12 else "a sentence"] += 1

    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    plays()
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{name}: {sum(seen.values())} in {time.perf_counter() - began:.0f} s, longest {longest:.3f} s, {grown:+.1f} MiB, peak {peak:.0f} MiB; "
          f"{dict(seen.most_common())}", flush=True)


if __name__ == "__main__":
    main()
