"""Files in a bucket: Amazon's S3, and what speaks its protocol. Needs botocore (`pip install
"fairway[s3]"`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairway import errors

CHUNK_BYTES = 1 << 20
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
        from botocore import exceptions

        key = f"{self._prefix}/{name}".lstrip("/")
        place = f"s3://{self._name}/{key}"
        try:
            body = self._client.get_object(Bucket=self._name, Key=key)["Body"]
            yield from body.iter_chunks(CHUNK_BYTES)
        except exceptions.ClientError as error:
            raise _refused(error, place) from error
        except (exceptions.HTTPClientError, exceptions.IncompleteReadError) as error:
            raise errors.Unavailable(f"{place} cannot be read now: {error}") from error
        # no credentials, a broken profile, a bucket's name that is none
        except exceptions.BotoCoreError as error:
            raise errors.PackageError(f"{place} cannot be read: {error}") from error


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


def _refused(error: Any, place: str) -> errors.FairwayError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in PASSING or status >= 500:
        return errors.Unavailable(f"{place} cannot be read now: {code}")
    advice = {
        "NoSuchKey": "wanted the files that `fairway package` writes",
        "NoSuchBucket": "there is no such bucket",
        "AccessDenied": "these credentials may not read it",
    }
    return errors.PackageError(
        f"{place} was refused with {code or status}: {advice.get(code, 'see the credentials and the address')}"
    )
