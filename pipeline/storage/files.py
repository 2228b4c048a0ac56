"""Bytes at an address: a local path or `s3://bucket/key`. List, read, and commit in one atomic step.

A commit is all or nothing. Local (`localfiles`): write to a temporary name, fsync, rename. S3 (`s3`): one PUT, or one
multipart upload that is completed or leaves nothing at the key. So a file that exists is whole. A crash leaves at most
a file whose name begins with `.tmp-`, or parts of an upload that no reader sees (a bucket's
AbortIncompleteMultipartUpload rule removes those).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError, DataError
from pipeline.storage.full_disks import open_patiently as open_patiently
from pipeline.storage.localfiles import UNFINISHED as UNFINISHED
from pipeline.storage.localfiles import LocalStore, escaped
from pipeline.storage.localfiles import Skipped as Skipped
from pipeline.storage.localfiles import local_path as local_path
from pipeline.storage.localfiles import to_uri as to_uri
from pipeline.storage.s3 import S3, S3Store, names_object
from pipeline.storage.s3 import remote_errors as remote_errors
from pipeline.storage.s3_answers import advice as advice

SCHEMES = (S3, "file://")


class Entry(NamedTuple):
    """One file found by `list_files`."""

    uri: str
    size_bytes: int
    revision: str
    """Changes when the content does: an object's ETag, a local file's time of last change in ns."""


LOCAL, OBJECTS = LocalStore(), S3Store()


def store_at(uri: str) -> LocalStore | S3Store:
    """The store that holds the address: this machine's files, or objects.

    Both have the same methods: mypy checks each call here against both. A method does for its addresses what the
    function of that name below promises. Four have no function: `has_folder` is true for every prefix of an object
    store, `glob` gives the files whose last name matches, where a `*` is any letters, `remove_unfinished` removes
    files that killed processes left half written in a local folder, and `refusal_note` says in a sentence why writing
    may have failed.
    """
    return OBJECTS if uri.startswith(S3) else LOCAL


def join(uri: str, *names: str) -> str:
    """The address of `names` below `uri`."""
    return "/".join([uri.rstrip("/"), *names])


def relative(uri: str, folder: str) -> str:
    """The part of an address below a folder, as text, for any address that `list_files(folder)` yields."""
    if uri.startswith("file://") and not folder.startswith("file://"):
        folder = escaped(folder)
    return uri.removeprefix(folder.rstrip("/") + "/")


def absolute(uri: str, follow_links: bool = False) -> str:
    """The address in the form that holds in every working directory, without / at its end; a local one as a path."""
    return store_at(uri).absolute(uri, follow_links)


def names_file(uri: str) -> bool:
    """Whether a file can be at the address: that of an object has a bucket and a key."""
    return store_at(uri).is_local or names_object(uri)


def exists(uri: str) -> bool:
    """Whether a file (not a folder) is at the address."""
    return store_at(uri).exists(uri)


def age_s(uri: str) -> float | None:
    """Seconds since the file at the address was written, by the clock of its store; None if no file is there."""
    return store_at(uri).age_s(uri)


def list_files(uri: str, barred: str | None = None, skipped: Skipped | None = None) -> Iterator[Entry]:
    """Every file below a folder or prefix, in the order of its address; unfinished `.tmp-` files are left out.

    An address that does not exist lists nothing. A link to a folder is not followed, because it may lead out or in a
    circle: like a link to nowhere or a pipe it is listed as a file of 0 bytes, and reading it raises MissingError.

    Args:
        barred: local folders that hold a file of this name are left out. A prefix would have to be listed twice.
        skipped: leave out what is hidden and folders below that may not be read, and note them here. Else hidden files
            are listed like others, and a folder that may not be read raises PermissionError.
    """
    for found in store_at(uri).list_files(uri, barred, skipped):
        if not found[0].rpartition("/")[2].startswith(UNFINISHED):
            yield Entry(*found)


def read_bytes(uri: str, offset: int = 0, length: int | None = None) -> bytes:
    """`length` bytes from `offset`, or all that follow it.

    Raises:
        MissingError: no file is there, or none that may be read.
        DataError: the file ends before `length` bytes, breaks off `s3.READ_ATTEMPTS` times, or is refused.
    """
    data = b"" if length == 0 else store_at(uri).read(uri, offset, length)  # HTTP has no range of no bytes
    if length is not None and len(data) < length:
        raise DataError(f"{uri}: {len(data)} bytes at offset {offset}, expected {length}. The file is truncated.")
    return data


def local_copy(uri: str) -> AbstractContextManager[Path]:
    """A local path with the file's content: the file itself, or a temporary download of an S3 object.

    Raises:
        MissingError: no file can be at the address, none is, or none that may be read.
        DataError: it cannot be read for a reason that may pass, such as credentials, or breaks off
            `s3.READ_ATTEMPTS` times.
    """
    return store_at(uri).local_copy(uri)


def commit_bytes(uri: str, data: bytes) -> None:
    """Put `data` at the address in one atomic step, replacing what was there."""
    store_at(uri).commit(uri, data)


def create_bytes(uri: str, data: bytes) -> bool:
    """Put `data` at the address in one atomic step if nothing is there yet; return whether that was done.

    Of several processes that create one address at once, exactly one gets True. If the answer to a request is lost and
    the request is sent again, its own object is recognised by the content: give each writer data of its own.
    """
    return store_at(uri).create(uri, data)


def building(uri: str) -> AbstractContextManager[Path]:
    """A local path to write to; once the block has ended without an error, it is the file at `uri`.

    Open it with `open_patiently`, so that a full disk makes the writer wait.
    """
    return store_at(uri).building(uri)


def delete(uri: str) -> None:
    """Remove the file at the address; no error where there is none."""
    store_at(uri).delete(uri)


def delete_if(uri: str, data: bytes) -> bool:
    """Remove the file at the address if it holds `data`; return whether that was done.

    An object store does both in one step, so an object that another process puts there meanwhile stays. A local file,
    and an object of a store without conditional deletes, is removed right after it was read: a gap of one request.
    """
    return store_at(uri).delete_if(uri, data)


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
        note = advice(error) or store_at(uri).refusal_note(uri)
        raise ConfigError(
            f"root {uri}: cannot be written to ({error}).{note} Choose another folder or s3:// prefix."
        ) from None
