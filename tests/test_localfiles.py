"""Local files: a name never comes before its content; what is no file, or cannot be read, is an error that names it."""

import doctest
import errno
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import DataError, MissingError
from pipeline.storage import files, localfiles

DATA = bytes(range(256)) * 4
PROJECT = Path(__file__).parent.parent


@pytest.mark.parametrize("put", [files.commit_bytes, files.create_bytes])
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_call_returns(
    put: Callable[[str, bytes], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    synced = []

    def record(handle: int) -> None:
        status = os.fstat(handle)
        synced.append((status.st_ino, stat.S_ISREG(status.st_mode) and status.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", record)
    put(str(path), DATA)
    assert synced == [(path.stat().st_ino, len(DATA), False), (tmp_path.stat().st_ino, False, True)]


def test_files_that_are_committed_together_are_on_the_disk_before_their_names_which_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, contents = tmp_path / "new", {"b": DATA, "a": b"", "last": DATA[:7]}
    synced, named = [], []
    replace = Path.replace

    def record(handle: int) -> None:
        status = os.fstat(handle)
        synced.append((status.st_ino, stat.S_ISREG(status.st_mode) and status.st_size, tuple(named)))

    def name(path: Path, target: Path) -> Path:
        named.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(Path, "replace", name)
    localfiles.commit_together(folder, contents)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    files_of_it = {((folder / key).stat().st_ino, len(data), ()) for key, data in contents.items()}
    assert set(synced[:-2]) == files_of_it
    of_folder = folder.stat().st_ino, False
    assert synced[3:] == [(*of_folder, ("b", "a")), (*of_folder, ("b", "a", "last"))]  # "last" after a power cut: all


def test_of_many_files_that_are_committed_together_sixteen_wait_for_the_disk_at_once_and_of_none_there_is_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def wait(_: int) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.01)  # so that a pool which may begins another thread

    monkeypatch.setattr(os, "fsync", wait)
    localfiles.commit_together(tmp_path / "many", {f"{number:02d}": DATA for number in range(64)})
    assert len(list((tmp_path / "many").iterdir())) == 64
    assert 1 < len(threads) <= 17  # the last is this one's, which waits for the folder
    localfiles.commit_together(tmp_path / "empty" / "none", {})
    assert list((tmp_path / "empty" / "none").iterdir()) == []


def test_of_files_that_are_committed_together_none_gets_its_name_if_the_disk_lost_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(handle: int) -> None:
        if os.fstat(handle).st_size == 7:
            raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(OSError, match="lost"):
        localfiles.commit_together(tmp_path, {"a": DATA, "b": DATA[:7], "c": DATA})
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_create_one_file_at_once_one_succeeds(tmp_path: Path) -> None:
    uri = str(tmp_path / "x")
    with ThreadPoolExecutor(16) as pool:
        created = list(pool.map(lambda i: files.create_bytes(uri, b"%d" % i), range(64)))
    assert sum(created) == 1
    assert files.read_bytes(uri) == b"%d" % created.index(True)


def test_what_is_no_file_is_listed_without_being_entered_or_opened_and_says_so_when_copied(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    entries = list(files.list_files(str(tmp_path)))
    assert [Path(entry.uri).name for entry in entries] == ["circle", "nowhere", "pipe"]
    assert {entry.size_bytes for entry in entries} == {0}
    for entry, says in zip(entries, ["circle: a folder or a link", "nowhere: no such", "pipe: no such"], strict=True):
        with pytest.raises(DataError, match=says), files.local_copy(entry.uri):
            pass


@pytest.mark.parametrize(("number", "is_missing"), [(errno.EACCES, True), (errno.EIO, False), (errno.ESTALE, False)])
def test_a_file_that_may_not_be_read_is_missing_and_one_on_a_broken_disk_is_not(
    number: int, is_missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "x").write_bytes(DATA)
    monkeypatch.setattr(Path, "open", refuse)  # root may read anything, so the real thing cannot be had
    with pytest.raises(DataError, match=os.strerror(number)) as caught, files.local_copy(str(tmp_path / "x")):
        pass
    assert isinstance(caught.value, MissingError) == is_missing


def test_a_link_to_a_file_has_the_size_and_revision_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "far").write_bytes(DATA)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (entry,) = files.list_files(str(tmp_path / "near"))
    assert entry[1:] == (len(DATA), str((tmp_path / "far").stat().st_mtime_ns))


def test_who_reads_the_old_file_reads_it_to_the_end_while_it_is_replaced(tmp_path: Path) -> None:
    files.commit_bytes(str(tmp_path / "x"), b"old and whole")
    with (tmp_path / "x").open("rb") as file:
        files.commit_bytes(str(tmp_path / "x"), b"new")
        assert file.read() == b"old and whole"
    assert files.read_bytes(str(tmp_path / "x")) == b"new"


def test_a_committed_file_may_be_read_by_others(tmp_path: Path) -> None:
    files.commit_bytes(str(tmp_path / "x"), b"x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


HOLDING = """
    import os, sys
    from pipeline.storage import localfiles
    with localfiles.unfinished(localfiles.scratch(os.getpid())) as path:
        path.write_bytes(b"copied")
        print(path, flush=True)
        sys.stdin.read()
"""


def test_copies_of_killed_processes_are_removed_and_those_of_living_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(HOLDING)]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=PROJECT, env=environment, stdin=pipe, stdout=pipe, text=True)

    with start() as dead, start() as living:
        left, used = (Path(process.stdout.readline().strip()) for process in (dead, living) if process.stdout)
        assert left.read_bytes() == used.read_bytes() == b"copied"
        dead.kill()
        dead.wait()
        assert left.exists()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        held = localfiles.scratch(-1)  # as a third process would, for this one may have its folder already
        assert [left.parent.exists(), used.exists(), held.exists()] == [False, True, True]
    assert not used.parent.exists()


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(localfiles).failed == 0
    assert doctest.testmod(localfiles).attempted > 0
