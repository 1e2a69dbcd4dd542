"""The supervisor, on a machine whose clock is wrong by the seconds that a file says.

python tests/local/wrong_clock.py fairway.platforms.local.supervisor HOME FILE
"""

import sys
import time
from pathlib import Path

from fairway import clocks
from fairway.platforms.local import supervisor
from fairway.platforms.local.home import Home

if __name__ == "__main__":
    home, wrong_by = Home(Path(sys.argv[2])), Path(sys.argv[3])
    supervisor.run(
        home, port=0, source=clocks.Source(wall=lambda: time.time() + float(wrong_by.read_text()))
    )
