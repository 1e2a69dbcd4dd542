"""Files in a bucket of Google's, and of what speaks its protocol. Needs google-cloud-storage (`pip
install "fairway[gcs]"`)."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway import errors
from fairway.addresses import web

CHUNK_BYTES = 8 << 20  # a request each
TIMEOUT_SECONDS = (10, 60)  # to connect; of silence
ANSWER_SECONDS = 120.0  # of an answer whose lines drip


class GoogleBucket:
    """A prefix of a bucket. Credentials are found as by every tool of Google's: a file, a service
    account's web identity, the node's account; of an emulator, none."""

    def __init__(self, name: str, *, prefix: str) -> None:
        self._name, self._prefix = name, prefix
        self._bucket = _client().bucket(name)

    def chunks(self, name: str) -> Iterator[bytes]:
        blob = self._bucket.blob(self._key(name))
        what = f"gs://{self._name}/{blob.name}"
        with self._asked(blob.name):
            asked = functools.partial(blob.reload, timeout=TIMEOUT_SECONDS, retry=None)
            web.within(asked, seconds=ANSWER_SECONDS, what=what)
            # of one generation, whoever writes another meanwhile
            with blob.open(
                "rb",
                chunk_size=CHUNK_BYTES,
                timeout=TIMEOUT_SECONDS,
                retry=None,
                if_generation_match=blob.generation,
            ) as file:
                chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
                yield from web.paced(chunks, size=CHUNK_BYTES, what=what)

    def put(self, name: str, file: Path) -> None:
        blob = self._bucket.blob(self._key(name))
        with self._asked(blob.name, verb="written"):
            blob.upload_from_filename(str(file), timeout=TIMEOUT_SECONDS, retry=None)

    def finish(self) -> None: ...

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")

    @contextlib.contextmanager
    def _asked(self, key: str, *, verb: str = "read") -> Iterator[None]:
        """Raise what the client says as ours: Unavailable where another attempt may succeed."""
        from google.api_core import exceptions
        from google.auth import exceptions as unproven
        from requests import exceptions as broken

        place = f"gs://{self._name}/{key}"
        try:
            yield
        except exceptions.GoogleAPICallError as error:
            raise _refused(error, place, verb=verb) from error
        except (broken.RequestException, unproven.TransportError, OSError) as error:
            raise errors.Unavailable(f"{place} cannot be {verb} now: {_line(error)}") from error
        except unproven.GoogleAuthError as error:
            raise errors.AddressError(f"{place} cannot be {verb}: {_line(error)}") from error


def _client() -> Any:
    try:
        from google.auth import exceptions
        from google.cloud import storage
    except ImportError as error:
        raise errors.UsageError(
            'gs:// needs google-cloud-storage: install it with `pip install "fairway[gcs]"`'
        ) from error
    try:
        return storage.Client(project=None)
    except (exceptions.GoogleAuthError, ValueError, OSError) as error:
        raise errors.UsageError(
            f"gs:// finds no credentials: {_line(error)}; GOOGLE_APPLICATION_CREDENTIALS names a file of some"
        ) from error


def _refused(error: Any, place: str, *, verb: str) -> errors.FairwayError:
    status = int(error.code or 0)
    if status in (408, 429) or status >= 500:
        return errors.Unavailable(f"{place} cannot be {verb} now: {status}")
    if status == 404 and verb == "read":
        return errors.MissingFile(f"{place} was refused with 404")
    advice = {
        401: "wanted credentials",
        403: f"it may not be {verb} with these credentials",
        404: "there is no such bucket",
        412: "it was written meanwhile",
    }
    return errors.AddressError(
        f"{place} was refused with {status}: {advice.get(status, _line(error))}"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
