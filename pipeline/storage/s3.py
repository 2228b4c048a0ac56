"""Objects of an S3 store by bucket and key: read, listed, put and deleted through boto3, which is known here alone.

boto3, for pyarrow's own S3 stream fails on some gateways. It honours the standard AWS settings, `AWS_ENDPOINT_URL`
included. Where no credentials are configured, requests are unsigned; so are those to PUBLIC_BUCKETS, which are asked of
AWS itself, or of the mirror that EARSHOT_PUBLIC_ENDPOINT_URL names.
"""

import contextlib
import functools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore import UNSIGNED
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NotConnectedError

from pipeline.errors import DataError, MissingError, UnreadError

PUBLIC_BUCKETS = {"multimedia-commons": "us-west-2"}  # bucket -> region: open to anybody, the media of YFCC100M
# boto repeats a request, not a body that breaks off: that many requests per file, with 0.5, 1, 2 and 4 s between them.
READ_ATTEMPTS = 5
FIRST_WAIT_S = 0.5
CHUNK_BYTES = 2**20
ABSENT_KEYS = ("404", "NoSuchKey", "NoSuchBucket", "KeyTooLongError")
UNMET = ("PreconditionFailed", "ConditionalRequestConflict", "412")  # another was there first


def client(bucket: str) -> Any:
    """The boto3 client that asks for a bucket: one per kind and process; clients are safe to share between threads."""
    return make_client(PUBLIC_BUCKETS.get(bucket), os.getpid())


@functools.cache
def make_client(public_region: str | None, _process: int) -> Any:
    """A boto3 client as the environment sets it up; that of a public bucket if its region is given."""
    import boto3  # 0.4 s that a command on a local root is spared (2026-11)
    from botocore.config import Config

    session = boto3.session.Session()  # its own: the default one is not safe to share between threads
    common = Config(
        retries={"mode": "adaptive", "max_attempts": 8},
        # Older Ceph and MinIO refuse the checksums that newer boto3 adds unasked.
        request_checksum_calculation=os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
        response_checksum_validation=os.environ.get("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required"),
    )
    unsigned = common.merge(Config(signature_version=UNSIGNED))
    if public_region:
        mirror = os.environ.get("EARSHOT_PUBLIC_ENDPOINT_URL")
        aws = Config(region_name=public_region, ignore_configured_endpoint_urls=True)
        return session.client("s3", endpoint_url=mirror, config=unsigned.merge(aws))
    return session.client("s3", config=common if session.get_credentials() else unsigned)


def is_unsigned(bucket: str) -> bool:
    """Whether requests to the bucket go out without a signature."""
    return client(bucket).meta.config.signature_version is UNSIGNED


def remote_errors() -> tuple[type[Exception], ...]:
    """What the client raises: no credentials, no such bucket, nobody answers."""
    from boto3.exceptions import S3UploadFailedError

    return (BotoCoreError, ClientError, S3UploadFailedError)


def exists(bucket: str, key: str) -> bool:
    """Whether an object has that key."""
    try:
        client(bucket).head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def list_objects(bucket: str, prefix: str) -> Iterator[tuple[str, int, str]]:
    """(key, size in bytes, ETag) of every object below a prefix in the order of its key, a page of requests at a time.

    A key that ends in / is a folder that some console has drawn, and is left out.
    """
    for page in client(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):
                yield item["Key"], item["Size"], item.get("ETag", "").strip('"')


def iter_chunks(bucket: str, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """An object's bytes in pieces. A body that breaks off is continued where it did, on the same revision.

    Raises:
        MissingError: no object can be there, none is, or none that may be read.
        DataError: it is refused for a reason that may pass, or breaks off READ_ATTEMPTS times.
    """
    uri = f"s3://{bucket}/{key}"
    end = None if length is None else offset + length
    same: dict[str, str] = {}
    for attempt in range(1, READ_ATTEMPTS + 1):
        span = {} if not offset and end is None else {"Range": f"bytes={offset}-{'' if end is None else end - 1}"}
        try:
            answer = client(bucket).get_object(Bucket=bucket, Key=key, **span, **same)
        except ParamValidationError as error:
            raise MissingError(f"{uri}: no address of an object ({error}).") from error
        except ClientError as error:
            raise refused(bucket, key, error) from error
        except (HTTPClientError, NotConnectedError) as error:
            if bucket not in PUBLIC_BUCKETS:
                raise
            raise DataError(
                f"{uri}: cannot be reached ({error}). Give --media, a folder or prefix with a copy of these files, or "
                "name a mirror in EARSHOT_PUBLIC_ENDPOINT_URL."
            ) from error
        end = offset + answer["ContentLength"]
        same = _revision(answer)
        try:
            with contextlib.closing(answer["Body"]) as body:
                for piece in body.iter_chunks(CHUNK_BYTES):
                    offset += len(piece)
                    yield piece
        except (OSError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError) as error:
            if attempt == READ_ATTEMPTS:
                raise UnreadError(f"{uri}: broke off at byte {offset} of {end}, {attempt} times ({error}).") from error
        if offset == end:
            return
        time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # workers do not come back in step


def refused(bucket: str, key: str, error: Any) -> DataError:
    """What a store's refusal to give an object means. Credentials and load say nothing of the object."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    # a public bucket says 403 of what is not there to who may not list it; to who signs it says that he may not read
    is_absent = _code(error) in ABSENT_KEYS or (status == 403 and is_unsigned(bucket))
    return (MissingError if is_absent else UnreadError)(f"s3://{bucket}/{key}: cannot be read ({error}).")


def commit(bucket: str, key: str, data: bytes) -> None:
    """Put `data` at the key in one request."""
    client(bucket).put_object(Bucket=bucket, Key=key, Body=data)


def upload(path: Path, bucket: str, key: str) -> None:
    """Put a file's content at the key, from 8 MB on in several parts that count once all have arrived."""
    client(bucket).upload_file(str(path), bucket, key)


def create(bucket: str, key: str, data: bytes) -> bool:
    """Put `data` at the key if no object is there; return whether that was done.

    A request whose answer was lost is sent again and finds an object there: it is ours if its content is.
    """
    try:
        client(bucket).put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
    except ClientError as error:
        if _code(error) not in UNMET:
            raise
        was_resent = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
        return was_resent and exists(bucket, key) and b"".join(iter_chunks(bucket, key)) == data
    return True


def delete(bucket: str, key: str) -> None:
    """Remove the object with that key; no error where there is none."""
    client(bucket).delete_object(Bucket=bucket, Key=key)


def delete_if(bucket: str, key: str, data: bytes) -> bool:
    """Remove the object if it holds `data`; return whether that was done.

    A store that knows no condition on deletes removes it right after it was read.
    """
    try:
        answer = client(bucket).get_object(Bucket=bucket, Key=key)
        with contextlib.closing(answer["Body"]) as body:
            if body.read() != data:
                return False
        client(bucket).delete_object(Bucket=bucket, Key=key, **_revision(answer))
    except ClientError as error:
        if _code(error) == "NotImplemented":
            delete(bucket, key)
            return True
        if _code(error) not in ("NoSuchKey", *UNMET):
            raise
        return False
    return True


def _revision(answer: dict[str, Any]) -> dict[str, str]:
    """The condition that an object is still the one that was answered."""
    return {"IfMatch": answer["ETag"]} if "ETag" in answer else {}  # some gateways give none


def _code(error: Any) -> str:
    return error.response["Error"]["Code"]
