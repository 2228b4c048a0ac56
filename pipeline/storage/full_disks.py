"""Writing to this machine's disks: where one is full, or a quota is used up, the write waits for room and goes on.

What was written so far stays, and only the rest is written when there is room. After `outages.limit_s()` a write fails
with OutageError, and whoever made the file removes it.
"""

import errno
import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import OutageError
from pipeline.formatting import format_bytes
from pipeline.storage import outages

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT)


def open_patiently(path: Path) -> io.BufferedWriter:
    """A new file to write bytes to. Its writes wait for room; its last ones may come with `close`."""
    return io.BufferedWriter(_PatientFile(path, "w"))


class _PatientFile(io.FileIO):
    """A file whose writes wait for room. Once one has failed, so do the others, at once: `close` writes what is
    buffered, and must not wait a second time, nor hide why the first one ended."""

    _failure: BaseException | None = None

    def write(self, data: Any) -> int:
        if self._failure is not None:
            raise self._failure
        try:
            return patiently(Path(os.fsdecode(self.name)).parent, lambda: io.FileIO.write(self, data))
        except BaseException as error:
            self._failure = error
            raise


def patiently(folder: Path, step: Callable[[], T]) -> T:
    """What `step` gives; while it finds no room on the folder's disk, it is tried again.

    Raises:
        OutageError: there was none for as long as work waits.
    """
    since_s, attempt = time.monotonic(), 0
    while True:
        try:
            result = step()
        except OSError as error:
            if error.errno not in FULL:
                raise
            attempt += 1
            disk, found = _describe(folder, error)
            seconds = outages.wait_s(disk, found, since_s, attempt)
            if seconds is None:
                raise no_room(folder, error) from error
            time.sleep(seconds)
        else:
            if attempt:
                outages.ended(_disk(folder))
            return result


def no_room(folder: Path, error: OSError) -> OutageError:
    """The error that nothing can be written to a folder, for a reason among FULL."""
    disk, found = _describe(folder, error)
    return OutageError(f"{folder}: cannot be written to, {disk} is {found}. Make room there.", "outage")


def _describe(folder: Path, error: OSError) -> tuple[str, str]:
    """The folder's disk, and how it is full: bytes may be left where a quota or the number of inodes is the limit."""
    disk = _disk(folder)
    free, nodes = shutil.disk_usage(disk).free, os.statvfs(disk)
    no_nodes = " and no inode" if nodes.f_files and not nodes.f_favail else ""  # some filesystems count none
    return disk, f"full ({os.strerror(error.errno or 0)}; {format_bytes(free)}{no_nodes} left)"


def _disk(folder: Path) -> str:
    path = folder.absolute()
    while not path.is_mount() and path != path.parent:
        path = path.parent
    return str(path)
