"""Bytes at an address: a local path or `s3://bucket/key`. List, read, and commit in one atomic step.

A commit is all or nothing. Local: write beside, fsync, rename. S3: one PUT, or one multipart upload that is completed
or leaves nothing at the key. So a file that exists is whole, and a crash leaves at most a file whose name begins with
`.tmp-`, or parts of an upload that nobody sees (a bucket's AbortIncompleteMultipartUpload rule removes those).

S3 goes through boto3 alone (pyarrow's own S3 stream fails on some gateways) and honours the standard AWS settings,
`AWS_ENDPOINT_URL` included. Where no credentials are configured, requests are unsigned; so are those to PUBLIC_BUCKETS,
which are asked of AWS itself, or of the mirror that EARSHOT_PUBLIC_ENDPOINT_URL names.
"""

import atexit
import contextlib
import errno
import fcntl
import functools
import os
import random
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import ConfigError, DataError, MissingError

S3 = "s3://"
PUBLIC_BUCKETS = {"multimedia-commons": "us-west-2"}  # bucket -> region: open to anybody, the media of YFCC100M
# boto repeats a request, not a body that breaks off: that many requests per file, with 0.5, 1, 2 and 4 s between them.
READ_ATTEMPTS = 5
FIRST_WAIT_S = 0.5
PIECE_BYTES = 2**20
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES)
ABSENT_KEYS = ("404", "NoSuchKey", "NoSuchBucket", "KeyTooLongError")
SCRATCH = "earshot-objects-"


class Entry(NamedTuple):
    """One file found by `list_files`."""

    uri: str
    size_bytes: int
    revision: str
    """Another text once the content is another: an object's ETag, a local file's time of last change in ns."""


def is_s3(uri: str) -> bool:
    """Whether the address is in an object store."""
    return uri.startswith(S3)


def join(uri: str, *names: str) -> str:
    """The address of `names` below `uri`."""
    return "/".join([uri.rstrip("/"), *names])


def to_uri(path: str | Path) -> str:
    """A local path as text that any table can hold: as it is, or `file://` with escapes if it is not UTF-8."""
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "file://" + urllib.parse.quote(os.fsencode(text))
    return text


def local_path(uri: str) -> Path:
    """The local path behind an address that is not in an object store: the inverse of `to_uri`."""
    if uri.startswith("file://"):
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))))
    return Path(uri)


def _s3(bucket: str) -> Any:
    """The boto3 client that asks for a bucket: one per kind and process; clients are safe to share between threads."""
    return _s3_client(PUBLIC_BUCKETS.get(bucket), os.getpid())


@functools.cache
def _s3_client(public_region: str | None, _process: int) -> Any:
    import boto3
    from botocore import UNSIGNED
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


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket. Expected s3://bucket/prefix.")
    return bucket, key


def names_object(uri: str) -> bool:
    """Whether an s3:// address has a bucket and a key."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bool(bucket and key)


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is at the address."""
    if not is_s3(uri):
        return local_path(uri).is_file()
    from botocore.exceptions import ClientError

    bucket, key = _split(uri)
    try:
        _s3(bucket).head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def list_files(uri: str, barred: str | None = None) -> Iterator[Entry]:
    """Every file below a folder or prefix, in the order of its address; unfinished `.tmp-` files are left out.

    An address that does not exist lists nothing. A link to a folder is not followed, for it may lead out or in a
    circle: like a link to nowhere or a pipe it is listed as a file of 0 bytes, and who reads it is told.

    Args:
        barred: local folders that hold a file of this name are left out. A prefix would have to be listed twice.
    """
    if is_s3(uri):
        bucket, key = _split(uri)
        prefix = key.rstrip("/") + "/" if key else ""
        for page in _s3(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                name = item["Key"].rpartition("/")[2]
                if name and not name.startswith(".tmp-"):
                    yield Entry(f"{S3}{bucket}/{item['Key']}", item["Size"], item.get("ETag", "").strip('"'))
        return
    # as text: a Path would turn ./a into a, and what is listed would no longer begin with the address
    yield from _walk(os.fspath(local_path(uri)) if uri.startswith("file://") else uri, barred)


def _walk(folder: str, barred: str | None) -> Iterator[Entry]:
    """Every file below a local folder, in the order in which an object store lists the same names."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    if any(entry.name == barred for entry, _ in found):
        return
    for entry, is_folder in sorted(found, key=lambda item: os.fsencode(item[0].name) + b"/" * item[1]):
        if is_folder:
            yield from _walk(entry.path, barred)
        elif not entry.name.startswith(".tmp-"):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                is_file = entry.is_file()
                status = entry.stat(follow_symlinks=is_file)
                yield Entry(to_uri(entry.path), status.st_size if is_file else 0, str(status.st_mtime_ns))


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """`length` bytes from `offset`, or all that follow it.

    Raises:
        MissingError: no file is there, or none that may be read.
        DataError: the file ends before `length` bytes, breaks off READ_ATTEMPTS times, or is refused.
    """
    if length == 0:  # HTTP has no range of no bytes
        return b""
    if is_s3(uri):
        data = b"".join(_pieces(uri, offset, length))
    else:
        try:
            with open(local_path(uri), "rb") as file:
                file.seek(offset)
                data = file.read() if length is None else file.read(length)
        except OSError as error:
            raise _unreadable(uri, error) from error
    if length is not None and len(data) < length:
        raise DataError(f"{uri}: {len(data)} bytes at offset {offset}, expected {length}. The file is truncated.")
    return data


def _unreadable(uri: str, error: OSError) -> DataError:
    kind = MissingError if error.errno in ABSENT else DataError
    return kind(f"{uri}: cannot be read ({error}).")


def _refused(uri: str, error: Any) -> DataError:
    """What a store's refusal to give an object means. Credentials and load say nothing of the object."""
    code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    # a public bucket says 403 of what is not there to who may not list it; to who signs it says that he may not read
    is_absent = code in ABSENT_KEYS or (status == 403 and _is_unsigned(uri))
    return (MissingError if is_absent else DataError)(f"{uri}: cannot be read ({error}).")


def _pieces(uri: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """An object's bytes in pieces. A body that breaks off is continued where it did, on the same revision."""
    from botocore.exceptions import (
        ClientError,
        HTTPClientError,
        IncompleteReadError,
        ParamValidationError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from botocore.exceptions import ConnectionError as NotConnectedError

    if not names_object(uri):
        raise MissingError(f"{uri}: no bucket or no key, expected s3://bucket/key.")
    bucket, key = _split(uri)
    end = None if length is None else offset + length
    same: dict[str, str] = {}
    for attempt in range(1, READ_ATTEMPTS + 1):
        span = {} if not offset and end is None else {"Range": f"bytes={offset}-{'' if end is None else end - 1}"}
        try:
            answer = _s3(bucket).get_object(Bucket=bucket, Key=key, **span, **same)
        except ParamValidationError as error:
            raise MissingError(f"{uri}: no address of an object ({error}).") from error
        except ClientError as error:
            raise _refused(uri, error) from error
        except (HTTPClientError, NotConnectedError) as error:
            if bucket not in PUBLIC_BUCKETS:
                raise
            raise DataError(
                f"{uri}: cannot be reached ({error}). Give --media, a folder or prefix with a copy of these files, or "
                "name a mirror in EARSHOT_PUBLIC_ENDPOINT_URL."
            ) from error
        end = offset + answer["ContentLength"]
        same = {"IfMatch": answer["ETag"]} if "ETag" in answer else {}  # some gateways give none
        try:
            with contextlib.closing(answer["Body"]) as body:
                for piece in body.iter_chunks(PIECE_BYTES):
                    offset += len(piece)
                    yield piece
        except (OSError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError) as error:
            if attempt == READ_ATTEMPTS:
                raise DataError(f"{uri}: broke off at byte {offset} of {end}, {attempt} times ({error}).") from error
        if offset == end:
            return
        time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # workers do not come back in step


def commit_bytes(uri: str, data: bytes) -> None:
    """Put `data` at the address in one atomic step, replacing what was there."""
    if is_s3(uri):
        bucket, key = _split(uri)
        _s3(bucket).put_object(Bucket=bucket, Key=key, Body=data)
        return
    with building(uri) as path:
        path.write_bytes(data)


def create_bytes(uri: str, data: bytes) -> bool:
    """Put `data` at the address in one atomic step if nothing is there yet; return whether that was done.

    Of several that create one address at once, exactly one is told True. Where the answer to our own request was lost
    and it was sent again, ours is known by its content: give each writer data of its own.
    """
    if is_s3(uri):
        from botocore.exceptions import ClientError

        bucket, key = _split(uri)
        try:
            _s3(bucket).put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict", "412"):
                raise
            was_resent = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            return was_resent and exists(uri) and read_bytes(uri) == data
        return True
    with _beside(uri) as path:
        path.write_bytes(data)
        _publish(path)
        try:
            os.link(path, local_path(uri))
        except FileExistsError:
            return False
        _sync(path.parent)
    return True


def delete_if(uri: str, data: bytes) -> bool:
    """Remove the file at the address if it holds `data`; return whether that was done.

    An object store does both in one step, so what another puts there meanwhile stays. A local file, and an object of a
    store that knows no condition on deletes, is removed right after it was read: that leaves a gap of one request.
    """
    if not is_s3(uri):
        is_same = exists(uri) and read_bytes(uri) == data
        if is_same:
            delete(uri)
        return is_same
    from botocore.exceptions import ClientError

    bucket, key = _split(uri)
    try:
        answer = _s3(bucket).get_object(Bucket=bucket, Key=key)
        with contextlib.closing(answer["Body"]) as body:
            if body.read() != data:
                return False
        same = {"IfMatch": answer["ETag"]} if "ETag" in answer else {}
        _s3(bucket).delete_object(Bucket=bucket, Key=key, **same)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NotImplemented":
            delete(uri)
            return True
        if code not in ("NoSuchKey", "PreconditionFailed", "ConditionalRequestConflict", "412"):
            raise
        return False
    return True


def delete(uri: str) -> None:
    """Remove the file at the address; no error where there is none."""
    if is_s3(uri):
        bucket, key = _split(uri)
        _s3(bucket).delete_object(Bucket=bucket, Key=key)
    else:
        local_path(uri).unlink(missing_ok=True)


@contextlib.contextmanager
def building(uri: str) -> Iterator[Path]:
    """A local path to write to; once the block has ended without an error, it is the file at `uri`."""
    with _beside(uri) as path:
        yield path
        if is_s3(uri):
            bucket, key = _split(uri)
            _s3(bucket).upload_file(str(path), bucket, key)
        else:
            _publish(path)
            path.replace(local_path(uri))
            _sync(path.parent)


@contextlib.contextmanager
def _beside(uri: str) -> Iterator[Path]:
    """A `.tmp-` file in the folder of `uri`, or in the system's for an object; gone when the block ends."""
    folder = _scratch(os.getpid()) if is_s3(uri) else local_path(uri).parent
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@functools.cache
def _scratch(_process: int) -> Path:
    """This process's folder for what it copies from and to object stores. Those of killed processes are removed.

    A process holds a lock on its folder, which the kernel lets go of however it dies: unlike a process id, that tells
    the living from the dead between containers too.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError), _opened(left) as handle:  # its process lives, or it is gone
            if os.fstat(handle).st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH))
        handle = os.open(folder, os.O_RDONLY)  # open for as long as the process lives
        with contextlib.suppress(OSError):  # a filesystem that cannot lock: then nobody removes it either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # else another process took it for a dead one's before it was locked
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
        os.close(handle)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)


def _publish(path: Path) -> None:
    """Make a file durable and readable for others, before it gets its name."""
    _sync(path)
    path.chmod(0o644)


def remove_unfinished(uri: str) -> None:
    """Remove the files in a local folder that a killed process left half written; nobody else may be writing there."""
    if not is_s3(uri) and local_path(uri).is_dir():
        for path in local_path(uri).glob(".tmp-*"):
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Force a file or folder to the disk, so that a rename never outlives its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path with the file's content: the file itself, or a temporary download of an S3 object.

    Raises:
        MissingError: no file can be at the address, none is, or none that may be read.
        DataError: it cannot be read for a reason that may pass, such as credentials, or breaks off READ_ATTEMPTS times.
    """
    if not is_s3(uri):
        path = local_path(uri)
        try:
            if not path.is_file():
                found = "a folder or a link to one, which is not followed" if path.is_dir() else "no such file"
                raise MissingError(f"{uri}: {found}.")
            path.open("rb").close()
        except OSError as error:
            raise _unreadable(uri, error) from error
        yield path
        return
    with tempfile.TemporaryDirectory(dir=_scratch(os.getpid())) as folder:
        path = Path(folder) / "object"
        with path.open("wb") as file:
            for piece in _pieces(uri):
                file.write(piece)
        yield path


def check_writable(uri: str) -> None:
    """Write and remove a small file below the address.

    Raises:
        ConfigError: nothing can be written there.
    """
    probe = join(uri, ".tmp-probe")
    try:
        if is_s3(uri):
            commit_bytes(probe, b"")
        else:
            local_path(uri).mkdir(parents=True, exist_ok=True)
            local_path(probe).write_bytes(b"")
        delete(probe)
    except (OSError,) + remote_errors() as error:  # noqa: RUF005  mypy reads the sum, not the stars
        unsigned = " No AWS credentials are configured, so nothing was signed." if _is_unsigned(uri) else ""
        raise ConfigError(
            f"--root {uri}: cannot be written to ({error}).{unsigned} Choose another folder or s3:// prefix."
        ) from None


def _is_unsigned(uri: str) -> bool:
    from botocore import UNSIGNED

    return is_s3(uri) and _s3(_split(uri)[0]).meta.config.signature_version is UNSIGNED


def remote_errors() -> tuple[type[Exception], ...]:
    """What an object store's client raises: no credentials, no such bucket, nobody answers."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError, S3UploadFailedError)


def relative(uri: str, folder: str) -> str:
    """The part of an address below a folder, as text; what `list_files(folder)` gave is below it."""
    if uri.startswith("file://") and not folder.startswith("file://"):
        folder = "file://" + urllib.parse.quote(os.fsencode(folder))
    return uri.removeprefix(folder.rstrip("/") + "/")
