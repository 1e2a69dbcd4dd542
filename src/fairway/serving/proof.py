"""Whether a package can be served here: every file checked, the golden rows reproduced. Run before
a server takes its port.

`python -m fairway.serving.proof PACKAGE` ends with 0, or with 1 and one sentence on stderr. A
process of its own, so that BentoML's supervisor does not keep numpy and ONNX Runtime in memory for
the server's whole life.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fairway import errors


def required(package: Path) -> None:
    """Return when the package can be served; ends this process with status 1 where it cannot, with
    the sentence on stderr."""
    if (
        subprocess.run(
            [sys.executable, "-m", "fairway.serving.proof", str(package)], check=False
        ).returncode
        != 0
    ):
        raise SystemExit(1)


def main(arguments: Sequence[str]) -> int:
    from fairway.serving import predictor

    try:
        predictor.Predictor.load(Path(arguments[0])).check_golden()
    except errors.FairwayError as error:
        print(f"fairway: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
