"""Storage: a commit is all or nothing, locally and on a real S3 endpoint, and no name is lost on the way."""

import os
import threading
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, DataError, MissingError
from pipeline.storage import files

DATA = bytes(range(256)) * 4


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh folder, then a fresh prefix of an object store."""
    if request.param == "local":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"


def names_below(root: str) -> list[str]:
    return [files.relative(entry.uri, root) for entry in files.list_files(root)]


def test_what_is_committed_is_read_back_and_replaces_what_was_there(root: str) -> None:
    uri = files.join(root, "a", "b.bin")
    assert not files.exists(uri)
    files.commit_bytes(uri, b"old, and longer than the new")
    files.commit_bytes(uri, DATA)
    assert files.exists(uri)
    assert files.read_bytes(uri) == DATA
    assert [(entry.uri, entry.size_bytes) for entry in files.list_files(root)] == [(uri, len(DATA))]


def test_a_revision_stays_while_the_content_does_and_changes_with_it(root: str) -> None:
    uri = files.join(root, "x")
    files.commit_bytes(uri, b"old")
    ((_, _, first),) = files.list_files(root)
    ((_, _, again),) = files.list_files(root)
    files.commit_bytes(uri, b"new")  # of the same size
    ((_, _, changed),) = files.list_files(root)
    assert first == again != changed


def test_a_file_is_created_only_where_nothing_is_and_again_once_it_is_deleted(root: str, tmp_path: Path) -> None:
    uri = files.join(root, "locks", "x")
    files.delete(uri)  # nothing there is no error
    assert files.create_bytes(uri, b"mine")
    assert not files.create_bytes(uri, b"theirs")
    assert not files.create_bytes(uri, b"mine")
    assert files.read_bytes(uri) == b"mine"
    files.delete(uri)
    assert not files.exists(uri)
    assert files.create_bytes(uri, b"theirs")
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_file_is_deleted_only_if_it_is_the_one_that_was_meant(root: str) -> None:
    uri = files.join(root, "x")
    assert not files.delete_if(uri, b"old")
    files.commit_bytes(uri, b"new")
    assert not files.delete_if(uri, b"old")
    assert files.read_bytes(uri) == b"new"
    assert files.delete_if(uri, b"new")
    assert not files.exists(uri)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (100, 1), (1000, 24), (0, 1024), (512, None), (0, 0), (9, 0)])
def test_a_range_is_the_slice_of_the_whole(root: str, offset: int, length: int | None) -> None:
    uri = files.join(root, "x")
    files.commit_bytes(uri, DATA)
    expected = DATA[offset:] if length is None else DATA[offset : offset + length]
    assert files.read_bytes(uri, offset, length) == expected


@pytest.mark.parametrize("offset", [0, 1000, 1024, 5000])
def test_reading_past_the_end_says_that_the_file_is_truncated(root: str, offset: int) -> None:
    uri = files.join(root, "x")
    files.commit_bytes(uri, DATA)
    with pytest.raises(DataError, match="x"):
        files.read_bytes(uri, offset, 2000)


def test_a_missing_file_is_an_error_that_names_it(root: str) -> None:
    uri = files.join(root, "not_there")
    with pytest.raises(DataError, match="not_there"):
        files.read_bytes(uri)
    with pytest.raises(DataError, match="not_there"), files.local_copy(uri):
        pass
    assert names_below(root) == []


def test_an_error_while_building_leaves_what_was_there_and_nothing_else(root: str, tmp_path: Path) -> None:
    uri = files.join(root, "part.tar")
    files.commit_bytes(uri, b"whole")
    building = files.building(uri)
    path = building.__enter__()
    path.write_bytes(b"half")
    assert building.__exit__(RuntimeError, RuntimeError("half way"), None) is not True
    assert files.read_bytes(uri) == b"whole"
    assert names_below(root) == ["part.tar"]
    assert not path.exists()
    assert not list(tmp_path.rglob(".tmp-*"))


def test_while_it_is_built_nobody_sees_a_file(root: str) -> None:
    uri = files.join(root, "part.tar")
    with files.building(uri) as path:
        path.write_bytes(DATA)
        assert not files.exists(uri)
        assert names_below(root) == []
    assert files.read_bytes(uri) == DATA


def test_files_built_by_several_threads_at_once_are_each_one_of_them_whole(root: str) -> None:
    uri = files.join(root, "part")
    contents = [bytes([i]) * 50_000 for i in range(4)]
    threads = [threading.Thread(target=files.commit_bytes, args=(uri, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.read_bytes(uri) in contents
    assert names_below(root) == ["part"]


def test_files_are_listed_below_the_folder_only_and_in_one_order(root: str) -> None:
    names = ["b/2", "b/10", "a", "b.txt", "c/d/e"]
    for name in names:
        files.commit_bytes(files.join(root, name), b"x")
    files.commit_bytes(f"{root}_beside/f", b"x")
    assert sorted(names_below(root)) == sorted(names)
    assert names_below(root) == names_below(root + "/")
    assert names_below(files.join(root, "b")) == ["10", "2"]
    assert names_below(files.join(root, "nothing")) == []


def test_local_and_s3_list_in_the_same_order(s3_bucket: str, tmp_path: Path) -> None:
    names = ["b/2", "b/10", "a", "b.txt", "c/d/e", "B", "b-1/x", "b/c/d"]
    for name in names:
        for root in (str(tmp_path), f"{s3_bucket}/order"):
            files.commit_bytes(files.join(root, name), b"x")
    assert names_below(str(tmp_path)) == names_below(f"{s3_bucket}/order")


@pytest.mark.parametrize("name", ["plain.mp4", "ümlaut 50%.mp4", "file with%20.mp4", b"latin1 \xe9\xff.mp4"])
def test_any_file_name_survives_as_text(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"x")
    (entry,) = files.list_files(str(tmp_path))
    entry.uri.encode()  # any table can hold it
    assert files.local_path(entry.uri) == path
    assert files.read_bytes(entry.uri) == b"x"
    assert files.exists(entry.uri)
    assert files.local_path(files.to_uri(path)) == path


def test_names_below_a_folder_that_is_not_utf8_stay_relative(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b").write_bytes(b"")
    (entry,) = files.list_files(str(folder))
    assert files.relative(entry.uri, str(folder)) == "a/b"


@pytest.mark.parametrize("spelling", ["a", "./a", "a/", ".//a", "../{}/a"])
def test_addresses_listed_begin_with_the_folder_as_it_was_spelt(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files.commit_bytes("a/b/c", b"x")
    assert names_below(spelling.format(tmp_path.name)) == ["b/c"]


def test_an_absolute_address_holds_in_every_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "far")
    monkeypatch.chdir(tmp_path)
    assert files.absolute("./link/a/") == str(tmp_path / "link" / "a")
    assert files.absolute("link/a", follow_links=True) == str(tmp_path.resolve() / "far" / "a")
    assert files.absolute("s3://bucket/a/") == "s3://bucket/a"
    assert files.absolute("s3://") == "s3://"  # not s3:, which would be a local folder


@pytest.mark.parametrize(
    "uri", ["x" * 300, "file/below", "a\0b", "s3://Bad_Bucket!/x", "s3:///x.mp4", "s3://earshot", "s3://nobody/x"]
)
def test_an_address_at_which_no_file_can_be_is_missing(
    uri: str, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MissingError), files.local_copy(uri):
        pass


def test_check_writable_leaves_nothing_behind(root: str, tmp_path: Path) -> None:
    files.check_writable(root)
    assert names_below(root) == []
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written to"):
        files.check_writable(str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        files.check_writable("s3://no-such-bucket/prefix")
    with pytest.raises(ConfigError, match="no bucket"):
        files.check_writable("s3:///prefix")
