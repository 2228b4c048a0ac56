"""Bytes at an address: a local path or `s3://bucket/key`. List, read, and commit in one atomic step.

A commit is all or nothing. Local (`localfiles`): write beside, fsync, rename. S3 (`s3`): one PUT, or one multipart
upload that is completed or leaves nothing at the key. So a file that exists is whole, and a crash leaves at most a file
whose name begins with `.tmp-`, or parts of an upload that nobody sees (a bucket's AbortIncompleteMultipartUpload rule
removes those).
"""

import contextlib
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError, DataError, MissingError
from pipeline.storage import localfiles, s3

S3 = "s3://"


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


def relative(uri: str, folder: str) -> str:
    """The part of an address below a folder, as text; what `list_files(folder)` gave is below it."""
    if uri.startswith("file://") and not folder.startswith("file://"):
        folder = "file://" + urllib.parse.quote(os.fsencode(folder))
    return uri.removeprefix(folder.rstrip("/") + "/")


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


def names_object(uri: str) -> bool:
    """Whether an s3:// address has a bucket and a key."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bool(bucket and key)


def _split(uri: str) -> tuple[str, str]:
    """The bucket and the key, or prefix, of an s3:// address."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: no bucket. Expected s3://bucket/prefix.")
    return bucket, key


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is at the address."""
    return s3.exists(*_split(uri)) if is_s3(uri) else local_path(uri).is_file()


def list_files(uri: str, barred: str | None = None) -> Iterator[Entry]:
    """Every file below a folder or prefix, in the order of its address; unfinished `.tmp-` files are left out.

    An address that does not exist lists nothing. A link to a folder is not followed, for it may lead out or in a
    circle: like a link to nowhere or a pipe it is listed as a file of 0 bytes, and who reads it is told.

    Args:
        barred: local folders that hold a file of this name are left out. A prefix would have to be listed twice.
    """
    found: Iterator[tuple[str, int, str]]
    if is_s3(uri):
        bucket, prefix = _split(uri)
        below = s3.list_objects(bucket, prefix.rstrip("/") + "/" if prefix else "")
        found = ((f"{S3}{bucket}/{key}", size_bytes, etag) for key, size_bytes, etag in below)
    else:
        folder = os.fspath(local_path(uri)) if uri.startswith("file://") else uri
        below = localfiles.walk(folder, barred)
        found = ((to_uri(path), size_bytes, changed_ns) for path, size_bytes, changed_ns in below)
    for entry in found:
        if not entry[0].rpartition("/")[2].startswith(localfiles.UNFINISHED):
            yield Entry(*entry)


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """`length` bytes from `offset`, or all that follow it.

    Raises:
        MissingError: no file is there, or none that may be read.
        DataError: the file ends before `length` bytes, breaks off `s3.READ_ATTEMPTS` times, or is refused.
    """
    if length == 0:  # HTTP has no range of no bytes
        return b""
    if is_s3(uri):
        data = b"".join(_iter_chunks(uri, offset, length))
    else:
        try:
            data = localfiles.read(local_path(uri), offset, length)
        except OSError as error:
            raise localfiles.unreadable(uri, error) from error
    if length is not None and len(data) < length:
        raise DataError(f"{uri}: {len(data)} bytes at offset {offset}, expected {length}. The file is truncated.")
    return data


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path with the file's content: the file itself, or a temporary download of an S3 object.

    Raises:
        MissingError: no file can be at the address, none is, or none that may be read.
        DataError: it cannot be read for a reason that may pass, such as credentials, or breaks off
            `s3.READ_ATTEMPTS` times.
    """
    if not is_s3(uri):
        path = local_path(uri)
        try:
            if not path.is_file():
                found = "a folder or a link to one, which is not followed" if path.is_dir() else "no such file"
                raise MissingError(f"{uri}: {found}.")
            path.open("rb").close()
        except OSError as error:
            raise localfiles.unreadable(uri, error) from error
        yield path
        return
    with localfiles.unfinished(localfiles.scratch(os.getpid())) as path:
        with path.open("wb") as file:
            for piece in _iter_chunks(uri):
                file.write(piece)
        yield path


def _iter_chunks(uri: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    if not names_object(uri):
        raise MissingError(f"{uri}: no bucket or no key, expected s3://bucket/key.")
    return s3.iter_chunks(*_split(uri), offset, length)


def commit_bytes(uri: str, data: bytes) -> None:
    """Put `data` at the address in one atomic step, replacing what was there."""
    if is_s3(uri):
        s3.commit(*_split(uri), data)
    else:
        with building(uri) as path:
            path.write_bytes(data)


def create_bytes(uri: str, data: bytes) -> bool:
    """Put `data` at the address in one atomic step if nothing is there yet; return whether that was done.

    Of several that create one address at once, exactly one is told True. Where the answer to our own request was lost
    and it was sent again, ours is known by its content: give each writer data of its own.
    """
    return s3.create(*_split(uri), data) if is_s3(uri) else localfiles.create(local_path(uri), data)


@contextlib.contextmanager
def building(uri: str) -> Iterator[Path]:
    """A local path to write to; once the block has ended without an error, it is the file at `uri`."""
    folder = localfiles.scratch(os.getpid()) if is_s3(uri) else local_path(uri).parent
    with localfiles.unfinished(folder) as path:
        yield path
        if is_s3(uri):
            s3.upload(path, *_split(uri))
        else:
            localfiles.publish(path, local_path(uri))


def delete(uri: str) -> None:
    """Remove the file at the address; no error where there is none."""
    if is_s3(uri):
        s3.delete(*_split(uri))
    else:
        local_path(uri).unlink(missing_ok=True)


def delete_if(uri: str, data: bytes) -> bool:
    """Remove the file at the address if it holds `data`; return whether that was done.

    An object store does both in one step, so what another puts there meanwhile stays. A local file, and an object of a
    store that knows no condition on deletes, is removed right after it was read: that leaves a gap of one request.
    """
    if is_s3(uri):
        return s3.delete_if(*_split(uri), data)
    is_same = exists(uri) and read_bytes(uri) == data
    if is_same:
        delete(uri)
    return is_same


def remove_unfinished(uri: str) -> None:
    """Remove the files in a local folder that a killed process left half written; nobody else may be writing there."""
    if not is_s3(uri):
        localfiles.remove_unfinished(local_path(uri))


def check_writable(uri: str) -> None:
    """Write and remove a small file below the address.

    Raises:
        ConfigError: nothing can be written there.
    """
    probe = join(uri, ".tmp-probe")
    try:
        commit_bytes(probe, b"")
        delete(probe)
    except (OSError,) + remote_errors() as error:  # noqa: RUF005  mypy reads the sum, not the stars
        is_unsigned = is_s3(uri) and s3.is_unsigned(_split(uri)[0])
        unsigned = " No AWS credentials are configured, so nothing was signed." if is_unsigned else ""
        raise ConfigError(
            f"--root {uri}: cannot be written to ({error}).{unsigned} Choose another folder or s3:// prefix."
        ) from None


def remote_errors() -> tuple[type[Exception], ...]:
    """What an object store's client raises: no credentials, no such bucket, nobody answers."""
    return s3.remote_errors()
