"""Files of this machine by path: listed, read, and put in place so that a name is never there before its content.

What is being written has a name that begins with UNFINISHED and lies in the folder it will stay in: a rename within one
folder is atomic. Local copies of objects lie in a folder of their process instead, which outlives no process for long.
"""

import atexit
import contextlib
import errno
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DataError, MissingError, UnreadError

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES)
SCRATCH = "earshot-objects-"
UNFINISHED = ".tmp-"


def walk(folder: str, barred: str | None) -> Iterator[tuple[str, int, str]]:
    """(path, size in bytes, time of last change in ns) of every file below, in the order of an object store's keys.

    Args:
        folder: as text: a Path would turn ./a into a, and what is found would no longer begin with it.
        barred: folders that hold a file of this name are left out.
    """
    try:
        with os.scandir(folder) as entries:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    if any(entry.name == barred for entry, _ in found):
        return
    for entry, is_folder in sorted(found, key=lambda item: os.fsencode(item[0].name) + b"/" * item[1]):
        if is_folder:
            yield from walk(entry.path, barred)
        else:
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                is_file = entry.is_file()
                status = entry.stat(follow_symlinks=is_file)
                yield entry.path, status.st_size if is_file else 0, str(status.st_mtime_ns)


def read(path: Path, offset: int, length: int | None) -> bytes:
    """`length` bytes from `offset`, or all that follow it; fewer where the file ends."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read() if length is None else file.read(length)


def unreadable(uri: str, error: OSError) -> DataError:
    """What a failed read says of the file: that it is not there or not ours to read, or that the disk is at fault."""
    kind = MissingError if error.errno in ABSENT else UnreadError
    return kind(f"{uri}: cannot be read ({error}).")


@contextlib.contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """An empty file to write to in a folder, which is made if it is missing; gone when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def publish(path: Path, target: Path) -> None:
    """Give a file of the same folder its name in one step, replacing what had it."""
    _finish(path)
    path.replace(target)
    sync(target.parent)


def create(target: Path, data: bytes) -> bool:
    """Put `data` at the path in one step if nothing is there; return whether that was done."""
    with unfinished(target.parent) as path:
        path.write_bytes(data)
        _finish(path)
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        sync(target.parent)
    return True


def _finish(path: Path) -> None:
    """Make a file durable and readable for others, before it gets its name."""
    sync(path)
    path.chmod(0o644)


def sync(path: Path) -> None:
    """Force a file or folder to the disk, so that a rename never outlives its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half written in a folder; nobody else may be writing there."""
    if folder.is_dir():
        for path in folder.glob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)


@functools.cache
def scratch(_process: int) -> Path:
    """This process's folder for what it copies from and to object stores. Those of killed processes are removed.

    A process holds a lock on its folder, which the kernel lets go of however it dies: unlike a process id, that tells
    the living from the dead between containers too.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError), opened(left) as handle:  # its process lives, or it is gone
            if os.fstat(handle).st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH))
        try:
            handle = os.open(folder, os.O_RDONLY)  # open for as long as the process lives
        except FileNotFoundError:  # another process took it for a dead one's before it was opened
            continue
        with contextlib.suppress(OSError):  # a filesystem that cannot lock: then nobody removes it either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # else the same, before it was locked
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
        os.close(handle)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A folder's file descriptor; a link is refused."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)
