"""Files in a bucket: Amazon's S3, and what speaks its protocol. Needs botocore (`pip install
"fairway[s3]"`)."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fairway import errors
from fairway.addresses import web

CHUNK_BYTES = 1 << 18
ANSWER_SECONDS = 120.0  # of two attempts, each with 10 to connect and 30 of silence
PART_BYTES = 64 << 20  # of a large file: 10,000 of them are 625 GiB
PASSING = (
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
)


class Bucket:
    """A prefix of a bucket. Credentials are found as by every AWS tool: variables, files, a service
    account's web identity, the node's role."""

    def __init__(self, name: str, *, prefix: str, environment: Mapping[str, str]) -> None:
        self._name, self._prefix = name, prefix
        self._client = _client(environment)

    def chunks(self, name: str) -> Iterator[bytes]:
        key = self._key(name)
        with self._asked(key):
            what = f"s3://{self._name}/{key}"
            asked = functools.partial(self._client.get_object, Bucket=self._name, Key=key)
            body = web.within(asked, seconds=ANSWER_SECONDS, what=what)["Body"]
            yield from web.paced(body.iter_chunks(CHUNK_BYTES), size=CHUNK_BYTES, what=what)

    def put(self, name: str, file: Path) -> None:
        """Write the file: by parts where it is large, which appear together or not at all."""
        key = self._key(name)
        with self._asked(key, verb="written"), file.open("rb") as content:
            if file.stat().st_size <= PART_BYTES:
                self._client.put_object(Bucket=self._name, Key=key, Body=content)
            else:
                self._put_parts({"Bucket": self._name, "Key": key}, content)

    def finish(self) -> None: ...

    def _put_parts(self, place: dict[str, str], content: BinaryIO) -> None:
        begun = self._client.create_multipart_upload(**place)
        place |= {"UploadId": begun["UploadId"]}
        parts: list[dict[str, Any]] = []
        try:
            while part := content.read(PART_BYTES):
                number = len(parts) + 1
                said = self._client.upload_part(**place, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": said["ETag"]})
            self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        except BaseException:
            with contextlib.suppress(Exception):  # a bucket's owner has it ended after days
                self._client.abort_multipart_upload(**place)
            raise

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")

    @contextlib.contextmanager
    def _asked(self, key: str, *, verb: str = "read") -> Iterator[None]:
        """Raise what the client says as ours: Unavailable where another attempt may succeed."""
        from botocore import exceptions

        place = f"s3://{self._name}/{key}"
        try:
            yield
        except exceptions.ClientError as error:
            raise _refused(error, place, verb=verb) from error
        except (
            exceptions.HTTPClientError,
            exceptions.ConnectionError,  # of EndpointConnectionError: nobody listens there
            exceptions.IncompleteReadError,
        ) as error:
            raise errors.Unavailable(f"{place} cannot be {verb} now: {error}") from error
        # no credentials, a broken profile, a bucket's name that is none
        except exceptions.BotoCoreError as error:
            raise errors.AddressError(f"{place} cannot be {verb}: {error}") from error


def _client(environment: Mapping[str, str]) -> Any:
    try:
        from botocore import config, session
        from botocore import exceptions as faults
    except ImportError as error:
        raise errors.UsageError(
            's3:// needs botocore: install it with `pip install "fairway[s3]"`'
        ) from error
    elsewhere = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    settings = config.Config(
        connect_timeout=10,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 2},
        # Elsewhere than at Amazon there is rarely a name for each bucket.
        s3={"addressing_style": "path" if elsewhere else "auto"},
    )
    try:
        return session.Session().create_client("s3", config=settings, endpoint_url=elsewhere)
    except (faults.BotoCoreError, ValueError) as error:
        raise errors.UsageError(f"S3 cannot be set up: {error}") from error


def _refused(error: Any, place: str, *, verb: str) -> errors.FairwayError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in PASSING or status >= 500:
        return errors.Unavailable(f"{place} cannot be {verb} now: {code}")
    if code == "NoSuchKey":
        return errors.MissingFile(f"{place} was refused with NoSuchKey")
    advice = {
        "NoSuchBucket": "there is no such bucket",
        "AccessDenied": f"it may not be {verb} with these credentials",
    }
    return errors.AddressError(
        f"{place} was refused with {code or status}: {advice.get(code, 'see the credentials and the address')}"
    )
