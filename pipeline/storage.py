"""Bytes at an address: a local path or `s3://bucket/key`. List, read, and commit in one atomic step.

A commit is all or nothing. Local: write beside, fsync, rename. S3: one PUT, or one multipart upload that is completed
or leaves nothing. So a file that exists is whole, and a crash leaves at most a file whose name begins with `.tmp-`.
S3 goes through boto3 alone (pyarrow's own S3 stream fails on some gateways) and honours the standard AWS settings,
`AWS_ENDPOINT_URL` included.
"""

import contextlib
import functools
import os
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import ConfigError, DataError

S3 = "s3://"


class Entry(NamedTuple):
    """One file found by `list_files`."""

    uri: str
    size_bytes: int


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


@functools.cache
def _s3_client() -> Any:
    """One boto3 client per process; clients are safe to share between threads."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "adaptive", "max_attempts": 8}))


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket. Expected s3://bucket/prefix.")
    return bucket, key


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is at the address."""
    if not is_s3(uri):
        return local_path(uri).is_file()
    from botocore.exceptions import ClientError

    bucket, key = _split(uri)
    try:
        _s3_client().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def list_files(uri: str) -> Iterator[Entry]:
    """Every file below a folder or prefix, in the order of its address; unfinished `.tmp-` files are left out.

    An address that does not exist lists nothing.
    """
    if is_s3(uri):
        bucket, key = _split(uri)
        prefix = key.rstrip("/") + "/" if key else ""
        pages = _s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):
                    yield Entry(f"{S3}{bucket}/{item['Key']}", item["Size"])
        return
    # as text: a Path would turn ./a into a, and what is listed would no longer begin with the address
    yield from _walk(os.fspath(local_path(uri)) if uri.startswith("file://") else uri)


def _walk(folder: str) -> Iterator[Entry]:
    """Every file below a local folder, in the order in which an object store lists the same names."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry, is_folder in sorted(found, key=lambda item: os.fsencode(item[0].name) + b"/" * item[1]):
        if is_folder:
            yield from _walk(entry.path)
        elif not entry.name.startswith(".tmp-"):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                if entry.is_file():  # no pipe, no device, no link to nowhere or to a folder
                    yield Entry(to_uri(entry.path), entry.stat().st_size)


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """`length` bytes from `offset`, or all that follow it.

    Raises:
        DataError: the file is missing, or ends before `length` bytes.
    """
    if length == 0:  # HTTP has no range of no bytes
        return b""
    if is_s3(uri):
        from botocore.exceptions import ClientError

        bucket, key = _split(uri)
        span = {} if not offset and length is None else {"Range": f"bytes={offset}-{_last(offset, length)}"}
        try:
            data = _s3_client().get_object(Bucket=bucket, Key=key, **span)["Body"].read()
        except ClientError as error:
            raise DataError(f"{uri}: cannot be read ({error}).") from error
    else:
        try:
            with open(local_path(uri), "rb") as file:
                file.seek(offset)
                data = file.read() if length is None else file.read(length)
        except OSError as error:
            raise DataError(f"{uri}: cannot be read ({error}).") from error
    if length is not None and len(data) < length:
        raise DataError(f"{uri}: {len(data)} bytes at offset {offset}, expected {length}. The file is truncated.")
    return data


def _last(offset: int, length: int | None) -> str:
    return "" if length is None else str(offset + length - 1)


def commit_bytes(uri: str, data: bytes) -> None:
    """Put `data` at the address in one atomic step, replacing what was there."""
    if is_s3(uri):
        bucket, key = _split(uri)
        _s3_client().put_object(Bucket=bucket, Key=key, Body=data)
        return
    with building(uri) as path:
        path.write_bytes(data)


@contextlib.contextmanager
def building(uri: str) -> Iterator[Path]:
    """A local path to write to; once the block has ended without an error, it is the file at `uri`."""
    target = None if is_s3(uri) else local_path(uri)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=target.parent if target is not None else None)
    os.close(handle)
    path = Path(name)
    try:
        yield path
        if target is None:
            bucket, key = _split(uri)
            _s3_client().upload_file(str(path), bucket, key)
        else:
            _sync(path)
            path.chmod(0o644)
            path.replace(target)
            _sync(target.parent)
    finally:
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
        DataError: there is no such file.
    """
    if not is_s3(uri):
        path = local_path(uri)
        if not path.is_file():
            raise DataError(f"{uri}: no such file.")
        yield path
        return
    from botocore.exceptions import ClientError

    bucket, key = _split(uri)
    with tempfile.TemporaryDirectory(prefix="earshot-") as folder:
        path = Path(folder) / "object"
        try:
            _s3_client().download_file(bucket, key, str(path))
        except ClientError as error:
            raise DataError(f"{uri}: cannot be read ({error}).") from error
        yield path


def check_writable(uri: str) -> None:
    """Write and remove a small file below the address.

    Raises:
        ConfigError: nothing can be written there.
    """
    probe = join(uri, ".tmp-probe")
    try:
        if is_s3(uri):
            bucket, key = _split(probe)
            _s3_client().put_object(Bucket=bucket, Key=key, Body=b"")
            _s3_client().delete_object(Bucket=bucket, Key=key)
        else:
            local_path(uri).mkdir(parents=True, exist_ok=True)
            local_path(probe).write_bytes(b"")
            local_path(probe).unlink()
    except (OSError,) + remote_errors() as error:  # noqa: RUF005  mypy reads the sum, not the stars
        raise ConfigError(
            f"--root {uri}: cannot be written to ({error}). Choose another folder or s3:// prefix."
        ) from None


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
