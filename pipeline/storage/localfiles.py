"""Files of this machine: listed, read, and put in place so that a name never appears before its content is complete.

A file that is being written has a name that begins with UNFINISHED and lies in its final folder, because a rename
within one folder is atomic. Local copies of objects lie in a temporary folder of their process instead.
"""

import atexit
import contextlib
import errno
import fcntl
import functools
import os
import re
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import MissingError, UnreadError
from pipeline.storage.full_disks import FULL, no_room, open_patiently, patiently

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES)
SCRATCH = "earshot-objects-"
UNFINISHED = ".tmp-"
SYNCS_AT_ONCE = 16  # a video has hundreds of masks, each of them a file


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a listing of media leaves out, each as an address."""

    hidden: list[str] = field(default_factory=list)
    """Files and folders whose names begin with a dot; what such a folder holds is not listed one by one."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that may not be read."""


class LocalStore:
    """Files of this machine; see `files.store_at`."""

    is_local = True

    def absolute(self, uri: str, follow_links: bool) -> str:
        path = local_path(uri)
        return str(path.resolve() if follow_links else path.absolute())

    def exists(self, uri: str) -> bool:
        return local_path(uri).is_file()

    def age_s(self, uri: str) -> float | None:
        try:
            return time.time() - local_path(uri).stat().st_mtime
        except OSError:
            return None

    def has_folder(self, uri: str) -> bool:
        return local_path(uri).is_dir()

    def list_files(self, uri: str, barred: str | None, skipped: Skipped | None) -> Iterator[tuple[str, int, str]]:
        # as text: a Path would turn ./a into a, and the addresses found would no longer begin with the folder's
        folder = os.fspath(local_path(uri)) if uri.startswith("file://") else uri
        return (
            (to_uri(path), size_bytes, changed_ns) for path, size_bytes, changed_ns in _walk(folder, barred, skipped)
        )

    def glob(self, pattern: str) -> list[str]:
        folder, name = os.path.split(os.fspath(local_path(pattern)))
        try:
            there = sorted(os.listdir(folder or "."))
        except OSError:  # no folder, or none that may be read
            return []
        return [to_uri(os.path.join(folder, found)) for found in there if matches(found, name)]

    def read(self, uri: str, offset: int, length: int | None) -> bytes:
        with _reading(uri), local_path(uri).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        path = local_path(uri)
        with _reading(uri):
            if not path.is_file():
                found = "a folder or a link to one, which is not followed" if path.is_dir() else "no such file"
                raise MissingError(f"{uri}: {found}.")
            path.open("rb").close()
        yield path

    def commit(self, uri: str, data: bytes) -> None:
        with self.building(uri) as path:
            _write(path, data)

    def create(self, uri: str, data: bytes) -> bool:
        target = local_path(uri)
        with unfinished(target.parent) as path:
            _write(path, data)
            _finish(path)
            try:
                patiently(target.parent, lambda: os.link(path, target))
            except FileExistsError:
                return False
            _sync(target.parent)
        return True

    @contextlib.contextmanager
    def building(self, uri: str) -> Iterator[Path]:
        target = local_path(uri)
        with unfinished(target.parent) as path:
            yield path
            _finish(path)
            patiently(target.parent, lambda: path.replace(target))
            _sync(target.parent)

    def delete(self, uri: str) -> None:
        local_path(uri).unlink(missing_ok=True)

    def delete_if(self, uri: str, data: bytes) -> bool:
        is_same = self.exists(uri) and self.read(uri, 0, None) == data
        if is_same:
            self.delete(uri)
        return is_same

    def remove_unfinished(self, uri: str) -> None:
        for path in local_path(uri).glob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)

    def refusal_note(self, uri: str) -> str:
        return ""


def commit_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put several files into a folder, which is made if it is missing: each in one atomic step, in the order given.

    A folder that has the last of them has all, after a power cut too. They wait for the disk together, and for the
    folder twice: of ten files that takes the time of two or three commits.
    """
    patiently(folder, lambda: folder.mkdir(parents=True, exist_ok=True))
    with contextlib.ExitStack() as made:
        paths = {name: made.enter_context(unfinished(folder)) for name in contents}
        for name, path in paths.items():
            _write(path, contents[name])
        with ThreadPoolExecutor(SYNCS_AT_ONCE) as beside:
            list(beside.map(_finish, paths.values()))
        for number, (name, path) in enumerate(paths.items(), start=1):
            if number == len(paths) > 1:
                _sync(folder)
            patiently(folder, functools.partial(path.replace, folder / name))
        _sync(folder)


def local_path(uri: str) -> Path:
    """The local path behind an address that is not in an object store: the inverse of `to_uri`."""
    if uri.startswith("file://"):
        return Path(os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))))
    return Path(uri)


def matches(name: str, pattern: str) -> bool:
    """Whether a file's name is the pattern, in which only `*` has a meaning: any letters, but no leading dot.

    >>> matches("votes_1.csv", "votes_*.csv"), matches("a1.csv", "a[1].csv"), matches(".a.csv", "*.csv")
    (True, False, False)
    """
    is_shown = pattern.startswith(".") or not name.startswith(".")
    return is_shown and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def to_uri(path: str | Path) -> str:
    """A local path as text that any table can hold: as it is, or `file://` with escapes if it is not UTF-8."""
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return escaped(text)
    return text


def escaped(path: str) -> str:
    """A local path as `file://` with escapes."""
    return "file://" + urllib.parse.quote(os.fsencode(path))


def _walk(folder: str, barred: str | None, skipped: Skipped | None) -> Iterator[tuple[str, int, str]]:
    """(path, size in bytes, time of last change in ns) of every file below, in the order of an object store's keys.

    Folders that hold a file named `barred` are left out; so is what `skipped` then names, if it is given.

    Raises:
        PermissionError: the folder may not be read, or one below it and `skipped` is not given.
    """
    try:
        with os.scandir(folder) as entries:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    if any(entry.name == barred for entry, _ in found):
        return
    for entry, is_folder in sorted(found, key=lambda item: os.fsencode(item[0].name) + b"/" * item[1]):
        if skipped is not None and entry.name.startswith("."):
            skipped.hidden.append(to_uri(entry.path))
        elif is_folder:
            try:
                yield from _walk(entry.path, barred, skipped)
            except PermissionError:
                if skipped is None:
                    raise
                skipped.unreadable.append(to_uri(entry.path))
        else:
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                is_file = entry.is_file()
                status = entry.stat(follow_symlinks=is_file)
                yield entry.path, status.st_size if is_file else 0, str(status.st_mtime_ns)


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[None]:
    """Turn a failure to read into its error: the file is missing or may not be read, or the disk is at fault."""
    try:
        yield
    except OSError as error:
        kind = MissingError if error.errno in ABSENT else UnreadError
        raise kind(f"{uri}: cannot be read ({error}).") from error


@contextlib.contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """An empty file to write to in a folder, which is made if it is missing; gone when the block ends."""
    patiently(folder, lambda: folder.mkdir(parents=True, exist_ok=True))
    handle, name = patiently(folder, lambda: tempfile.mkstemp(prefix=UNFINISHED, dir=folder))
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _finish(path: Path) -> None:
    """Make a file durable and readable for others, before it gets its name."""
    _sync(path)
    path.chmod(0o644)


def _sync(path: Path) -> None:
    """Force a file or folder to the disk, so that a rename never outlives its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise no_room(path.parent, error) from error  # a second fsync would succeed, and the content be lost
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    with open_patiently(path) as file:
        file.write(data)


@functools.cache
def scratch(_process: int) -> Path:
    """This process's folder for local copies of objects. Folders of killed processes are removed.

    A process holds a lock on its folder, and the kernel releases it however the process dies. Unlike a process id, the
    lock also distinguishes living from dead processes between containers.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError), _opened(left) as handle:  # its process is alive, or the folder is gone
            if os.fstat(handle).st_uid == os.getuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
    while True:
        folder = Path(patiently(Path(tempfile.gettempdir()), lambda: tempfile.mkdtemp(prefix=SCRATCH)))
        try:
            handle = os.open(folder, os.O_RDONLY)  # open for as long as the process lives
        except FileNotFoundError:  # another process removed it as a dead one's before it was opened
            continue
        with contextlib.suppress(OSError):  # a filesystem that cannot lock: then no process removes it either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # else the same, before it was locked
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
        os.close(handle)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A folder's file descriptor; a link is refused."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)
