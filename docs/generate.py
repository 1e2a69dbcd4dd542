"""Writes what is made from the code: the reference pages beside this file and the CRD; `--check`
says which one is out of date. Each module of docs/pages says what its page is made from.
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from docs.pages import commands, configuration, customresource, metrics  # noqa: E402 - found there
from fairway.operator import crd  # noqa: E402

PAGES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration.page,
    "docs/crd.md": customresource.page,
    "docs/metrics.md": metrics.page,
    "docs/cli.md": commands.page,
    "manifests/crds/modeldeployments.yaml": crd.text,
}


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` gives 1 and a sentence that names those that are not what
    would be written."""
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if stale and "--check" in arguments:
        print(
            f"{', '.join(stale)} out of date: run `make docs` and commit the result",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
