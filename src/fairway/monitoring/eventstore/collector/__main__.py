"""The collector as a program."""

import sys

from fairway.monitoring.eventstore.collector import listening

if __name__ == "__main__":
    sys.exit(listening.main())
