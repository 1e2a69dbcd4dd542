"""A server's event log as a process, to be killed: writes numbered events ahead, and says each that
it took.

    python -m tests.monitoring.sending --url COLLECTOR --folder SPOOL --first NUMBER
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from fairway.config import sections
from fairway.serving import eventlog

SETTINGS = sections.Events.model_validate({"interval": "20ms", "writeAhead": True, "batchSize": 50})
PACE_SECONDS = 0.001  # so that some are always on their way when it is killed
ORIGIN = eventlog.Origin(namespace="default", deployment="income", revision="aaa")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--first", type=int, required=True)
    options = parser.parse_args()
    log = eventlog.EventLog(SETTINGS, origin=ORIGIN, collector=options.url, folder=options.folder)
    log.start()
    for number in itertools.count(options.first):
        log.append(
            eventlog.Record(
                request_id=f"r{number}",
                unit=None,
                role="stable",
                status=200,
                at=time.time(),
                seconds=0.001,
                digest=None,
                rows=1,
                labels=["cat"],
            )
        )
        sys.stdout.write(f"{number}\n")  # taken: whatever ends this process now, it is not lost
        sys.stdout.flush()
        time.sleep(PACE_SECONDS)


if __name__ == "__main__":
    main()
