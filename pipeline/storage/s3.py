"""Objects at s3:// addresses: read, listed, put and deleted through boto3.

Design note: pyarrow's own S3 stream fails on some gateways. A store that does not answer is waited for
(`s3_answers.py`, `outages.py`).
"""

import contextlib
import email.utils
import os
import random
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import ClientError

from pipeline.errors import ConfigError, DataError, MissingError, RefusedError, UnreadError
from pipeline.formatting import format_difference
from pipeline.storage import outages, ranges
from pipeline.storage.full_disks import open_patiently
from pipeline.storage.localfiles import Skipped, matches, scratch, unfinished
from pipeline.storage.s3_answers import advice, code_of
from pipeline.storage.s3_clients import client, is_unsigned

S3 = "s3://"
# A body that breaks off is asked for again that many times, at most 0.5, 1, 2 and 4 s apart.
READ_ATTEMPTS = 5
FIRST_WAIT_S = 0.5
CHUNK_BYTES = 2**20
ABSENT_KEYS = ("404", "NoSuchKey", "NoSuchBucket", "KeyTooLongError")
# Refusals that another try meets again: archived, customer keys, a policy; keys of KMS add their own codes.
REFUSED_CODES = ("AccessDenied", "AllAccessDisabled", "InvalidObjectState", "InvalidRequest")
# An unconditional DELETE is repeated no longer than that: another process may put an object there meanwhile.
UNCONDITIONAL_S = 5.0
CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict", "412")  # another process was first


def remote_errors() -> tuple[type[Exception], ...]:
    """What an object store's client raises: no credentials, no such bucket, no answer."""
    from boto3.exceptions import S3UploadFailedError

    return (boto.BotoCoreError, ClientError, S3UploadFailedError)


def names_object(uri: str) -> bool:
    """Whether an s3:// address has a bucket and a key."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bool(bucket and key)


class S3Store:
    """Objects of every bucket; see `files.store_at`."""

    is_local = False

    def absolute(self, uri: str, follow_links: bool) -> str:
        return S3 + uri.removeprefix(S3).rstrip("/")

    def exists(self, uri: str) -> bool:
        s3, place = locate(uri)
        try:
            s3.head_object(**place)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                return False
            if code_of(error) in ("400", "403"):  # an answer to HEAD has no body, and so no reason: GET's has
                s3.get_object(**place)["Body"].close()
            else:
                raise
        return True

    def age_s(self, uri: str) -> float | None:
        s3, place = locate(uri)
        try:
            answer = s3.head_object(**place)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        there = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return (there - answer["LastModified"]).total_seconds()

    def has_folder(self, uri: str) -> bool:
        return True

    def list_files(self, uri: str, barred: str | None, skipped: Skipped | None) -> Iterator[tuple[str, int, str]]:
        """(address, size in bytes, ETag) of every object below a prefix, a page of requests at a time.

        A key that ends in / is left out: it is the mark of a folder that some consoles draw. A prefix that begins with
        a dot counts as a hidden folder.
        """
        s3, place = locate(uri)
        bucket, prefix = place["Bucket"], place["Key"].rstrip("/") + "/" if place["Key"] else ""
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                below = item["Key"].removeprefix(prefix)
                if skipped is not None and (hidden := re.match(r"(.*?/)??\.[^/]*", below, re.DOTALL)):
                    place_of = f"{S3}{bucket}/{prefix}{hidden[0]}"
                    if skipped.hidden[-1:] != [place_of]:  # keys come in order, so those of one prefix together
                        skipped.hidden.append(place_of)
                elif not item["Key"].endswith("/"):
                    yield f"{S3}{bucket}/{item['Key']}", item["Size"], item.get("ETag", "").strip('"')

    def glob(self, pattern: str) -> list[str]:
        folder, _, name = pattern.rpartition("/")
        below = (uri.rpartition("/") for uri, _, _ in self.list_files(folder, None, None))
        return ["".join(uri) for uri in below if uri[0] == folder and matches(uri[2], name)]

    def read(self, uri: str, offset: int, length: int | None) -> bytes:
        if length and names_object(uri):
            with contextlib.suppress(boto.BotoCoreError):  # no address, or no credentials: raised again below
                if (data := ranges.read(*locate(uri), offset, length)) is not None:
                    return data
        return b"".join(_iter_chunks(uri, offset, length))

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        with unfinished(scratch(os.getpid())) as path:
            with open_patiently(path) as file:
                file.writelines(_iter_chunks(uri))
            yield path

    def commit(self, uri: str, data: bytes) -> None:
        s3, place = locate(uri)
        s3.put_object(**place, Body=data)

    def create(self, uri: str, data: bytes) -> bool:
        return created(uri, data) is not None

    @contextlib.contextmanager
    def building(self, uri: str) -> Iterator[Path]:
        """From 8 MB on the file goes up in several parts, which count once all have arrived."""
        from boto3.exceptions import S3UploadFailedError

        s3, place = locate(uri)
        with unfinished(scratch(os.getpid())) as path:
            yield path
            try:
                s3.upload_file(str(path), *place.values())
            except S3UploadFailedError as error:
                # completed, and the answer lost, so that the repeat found no upload; or a rule of the bucket ended it
                if "NoSuchUpload" not in str(error):
                    raise
                s3.upload_file(str(path), *place.values())

    def delete(self, uri: str) -> None:
        s3, place = locate(uri)
        s3.delete_object(**place)

    def delete_if(self, uri: str, data: bytes) -> bool:
        s3, place = locate(uri)
        try:
            answer = s3.get_object(**place)
            with contextlib.closing(answer["Body"]) as body:
                if body.read() != data:
                    return False
            s3.delete_object(**place, **_revision(answer))
        except ClientError as error:
            if code_of(error) == "NotImplemented":  # a store without conditional deletes
                with outages.at_most(UNCONDITIONAL_S):
                    self.delete(uri)
                return True
            if code_of(error) not in ("NoSuchKey", *CONDITION_FAILED):
                raise
            return False
        return True

    def remove_unfinished(self, uri: str) -> None:
        """An upload that is not complete leaves no object."""

    def refusal_note(self, uri: str) -> str:
        return " No AWS credentials are configured, so nothing was signed." if is_unsigned(locate(uri)[0]) else ""


def locate(uri: str) -> tuple[Any, dict[str, str]]:
    """The client for an address, and its bucket and its key or prefix as boto3's arguments.

    Raises:
        ConfigError: the address has no bucket.
    """
    bucket, _, key = uri.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket. Expected s3://bucket/prefix.")
    return client(bucket), {"Bucket": bucket, "Key": key}


def abort_uploads(folder: str) -> bool:
    """Remove the parts of uploads below a prefix that were not completed; return whether the store lets us.

    Only while nothing is written there: an upload that is under way is aborted, too.
    """
    s3, place = locate(folder)
    bucket, prefix = place["Bucket"], place["Key"].rstrip("/") + "/"
    try:
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except ClientError:
        return False
    return True


def created(uri: str, data: bytes) -> dict[str, Any] | None:
    """Put an object where there is none; the store's answer, or None if one is there.

    A request whose answer was lost is sent again and finds an object there: ours, if the content is.
    """
    s3, place = locate(uri)
    try:
        return s3.put_object(**place, Body=data, IfNoneMatch="*")
    except ClientError as error:
        if code_of(error) not in CONDITION_FAILED:
            raise
        if not error.response["ResponseMetadata"].get("RetryAttempts"):
            return None
    try:
        answer = s3.get_object(**place)
    except ClientError as error:
        if code_of(error) != "NoSuchKey":
            raise
        return None
    with contextlib.closing(answer["Body"]) as body:
        return answer if body.read() == data else None


def _iter_chunks(uri: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """An object's bytes in chunks. A body that breaks off is continued where it did, on the same revision.

    Raises:
        MissingError: no object can be there, none is, or none that may be read.
        DataError: it is refused for a reason that may pass, or breaks off READ_ATTEMPTS times.
    """
    if not names_object(uri):
        raise MissingError(f"{uri}: no bucket or no key, expected s3://bucket/key.")
    s3, place = locate(uri)
    end = None if length is None else offset + length
    same: dict[str, str] = {}
    for attempt in range(1, READ_ATTEMPTS + 1):
        span = {} if not offset and end is None else {"Range": f"bytes={offset}-{'' if end is None else end - 1}"}
        try:
            answer = s3.get_object(**place, **span, **same)
        except boto.ParamValidationError as error:
            raise MissingError(f"{uri}: no address of an object ({error}).") from error
        except ClientError as error:
            raise _refusal(uri, s3, error) from error
        end = offset + answer["ContentLength"]
        same = _revision(answer)
        try:
            with contextlib.closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    offset += len(chunk)
                    yield chunk
        except (OSError, boto.IncompleteReadError, boto.ReadTimeoutError, boto.ResponseStreamingError) as error:
            if attempt == READ_ATTEMPTS:
                raise UnreadError(f"{uri}: broke off at byte {offset} of {end}, {attempt} times ({error}).") from error
        if offset == end:
            return
        time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # workers do not come back in step


def _refusal(uri: str, s3: Any, error: Any) -> DataError:
    """The error for an object that the store refuses: missing, refused, or unread where credentials or load are why."""
    status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], code_of(error)
    # 403 to an unsigned request may mean that the object is absent: the caller may not list. To a signed one it
    # means that the caller may not read.
    if code in ABSENT_KEYS or (code != "InvalidObjectState" and status == 403 and is_unsigned(s3)):
        return MissingError(f"{uri}: cannot be read ({error}).{_spelling_note(uri, s3)}")
    is_lasting = code in REFUSED_CODES or code.startswith("KMS.")
    return (RefusedError if is_lasting else UnreadError)(f"{uri}: cannot be read ({error}).{advice(error)}")


def _spelling_note(uri: str, s3: Any) -> str:
    """Where an absent key with accents is there in composed or decomposed characters: which ones differ."""
    for form in () if uri.isascii() else ("NFC", "NFD"):
        other = unicodedata.normalize(form, uri)
        if other != uri:
            with contextlib.suppress(ClientError):
                s3.head_object(**locate(other)[1])
                return f" An object that looks alike is there: {format_difference(uri, other)}."
    return ""


def _revision(answer: dict[str, Any]) -> dict[str, str]:
    """The condition that an object is still the one that was answered."""
    return {"IfMatch": answer["ETag"]} if "ETag" in answer else {}  # some gateways give none
