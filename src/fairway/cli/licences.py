"""What dependencies ask beyond a permissive licence, and what of them is old for a reason. Facts
only: one line a distribution.

README's section "Licences" says the same; a test holds the two together.
"""

import importlib.metadata
from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """What one distribution asks of those who use it or pass it on."""

    level: str  # note | warning, as `fairway check` prints
    sentence: str


TERMS = {
    "alibi-detect": Terms(
        "warning",
        "is under the Business Source License 1.1: production use needs a licence from Seldon, except for non-profit "
        "education; development and tests do not. monitoring.engine native does without it "
        "where monitoring.beside names no alibi detector",
    ),
    "psycopg": Terms(
        "note",
        "is under LGPL-3.0: use it freely; whoever passes an image with it on offers its source. Only events in "
        "PostgreSQL need it",
    ),
    "opencv-python": Terms(
        "note",
        "is Apache-2.0, and its wheel holds FFmpeg and Qt under LGPL, and OpenSSL 1.1, which gets no more fixes. "
        "alibi-detect "
        "brings it; nothing of fairway decodes images with it",
    ),
    "nvidia-cudnn-cu13": Terms(
        "note",
        "and the other nvidia-* wheels, which torch brings, are proprietary: using them and passing them on with an "
        "application is allowed on NVIDIA's terms",
    ),
}
SELDON = Terms(
    "note",
    "seldon-core 1.17.1 (Apache-2.0; not free from 1.18 on) holds werkzeug 2.2.3, gunicorn 20.1.0, Flask 2.2.5, "
    "cryptography 41.0.7 and "
    "protobuf 3.20.3, which have known weaknesses, in the image fairway/seldon: its pods take requests from the "
    "gateway alone",
)


def installed() -> list[tuple[str, str]]:
    """Return level and sentence of each installed distribution that asks for something."""
    found = []
    for name, terms in TERMS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append((terms.level, f"{name} {version} {terms.sentence}"))
    return found
