"""Storage: a commit is all or nothing, locally and on a real S3 endpoint, and no name is lost on the way."""

import errno
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.errors import ConfigError, DataError, MissingError

DATA = bytes(range(256)) * 4
PROJECT = Path(__file__).parent.parent


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh folder, then a fresh prefix of an object store."""
    if request.param == "local":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('s3_bucket')}/{tmp_path.name}"


def names_below(root: str) -> list[str]:
    return [storage.relative(entry.uri, root) for entry in storage.list_files(root)]


def test_what_is_committed_is_read_back_and_replaces_what_was_there(root: str) -> None:
    uri = storage.join(root, "a", "b.bin")
    assert not storage.exists(uri)
    storage.commit_bytes(uri, b"old, and longer than the new")
    storage.commit_bytes(uri, DATA)
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == DATA
    assert [(entry.uri, entry.size_bytes) for entry in storage.list_files(root)] == [(uri, len(DATA))]


def test_a_revision_stays_while_the_content_does_and_changes_with_it(root: str) -> None:
    uri = storage.join(root, "x")
    storage.commit_bytes(uri, b"old")
    ((_, _, first),) = storage.list_files(root)
    ((_, _, again),) = storage.list_files(root)
    storage.commit_bytes(uri, b"new")  # of the same size
    ((_, _, changed),) = storage.list_files(root)
    assert first == again != changed


def test_the_revision_of_an_object_is_the_md5_of_its_content(s3_bucket: str) -> None:
    storage.commit_bytes(f"{s3_bucket}/revision/x", DATA)
    ((_, _, revision),) = storage.list_files(f"{s3_bucket}/revision")
    assert revision == hashlib.md5(DATA).hexdigest()  # so an ETag, without its quotes


def test_a_file_is_created_only_where_nothing_is_and_again_once_it_is_deleted(root: str, tmp_path: Path) -> None:
    uri = storage.join(root, "locks", "x")
    storage.delete(uri)  # nothing there is no error
    assert storage.create_bytes(uri, b"mine")
    assert not storage.create_bytes(uri, b"theirs")
    assert not storage.create_bytes(uri, b"mine")
    assert storage.read_bytes(uri) == b"mine"
    storage.delete(uri)
    assert not storage.exists(uri)
    assert storage.create_bytes(uri, b"theirs")
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_file_is_deleted_only_if_it_is_the_one_that_was_meant(root: str) -> None:
    uri = storage.join(root, "x")
    assert not storage.delete_if(uri, b"old")
    storage.commit_bytes(uri, b"new")
    assert not storage.delete_if(uri, b"old")
    assert storage.read_bytes(uri) == b"new"
    assert storage.delete_if(uri, b"new")
    assert not storage.exists(uri)


def test_an_object_that_is_replaced_between_reading_and_deleting_stays(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, client = f"{s3_bucket}/{tmp_path.name}/x", storage._s3("earshot")
    delete_object = client.delete_object

    def replaced(**arguments: Any) -> Any:
        storage.commit_bytes(uri, b"new")
        return delete_object(**arguments)

    storage.commit_bytes(uri, b"old")
    monkeypatch.setattr(client, "delete_object", replaced)
    assert not storage.delete_if(uri, b"old")
    assert storage.read_bytes(uri) == b"new"


def test_of_many_that_create_one_file_at_once_one_succeeds(tmp_path: Path) -> None:
    uri = str(tmp_path / "x")
    with ThreadPoolExecutor(16) as pool:
        created = list(pool.map(lambda i: storage.create_bytes(uri, b"%d" % i), range(64)))
    assert sum(created) == 1
    assert storage.read_bytes(uri) == b"%d" % created.index(True)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (100, 1), (1000, 24), (0, 1024), (512, None), (0, 0), (9, 0)])
def test_a_range_is_the_slice_of_the_whole(root: str, offset: int, length: int | None) -> None:
    uri = storage.join(root, "x")
    storage.commit_bytes(uri, DATA)
    expected = DATA[offset:] if length is None else DATA[offset : offset + length]
    assert storage.read_bytes(uri, offset, length) == expected


@pytest.mark.parametrize("offset", [0, 1000, 1024, 5000])
def test_reading_past_the_end_says_that_the_file_is_truncated(root: str, offset: int) -> None:
    uri = storage.join(root, "x")
    storage.commit_bytes(uri, DATA)
    with pytest.raises(DataError, match="x"):
        storage.read_bytes(uri, offset, 2000)


def test_a_missing_file_is_an_error_that_names_it(root: str) -> None:
    uri = storage.join(root, "not_there")
    with pytest.raises(DataError, match="not_there"):
        storage.read_bytes(uri)
    with pytest.raises(DataError, match="not_there"), storage.local_copy(uri):
        pass
    assert names_below(root) == []


def test_an_error_while_building_leaves_what_was_there_and_nothing_else(root: str, tmp_path: Path) -> None:
    uri = storage.join(root, "part.tar")
    storage.commit_bytes(uri, b"whole")
    building = storage.building(uri)
    path = building.__enter__()
    path.write_bytes(b"half")
    assert building.__exit__(RuntimeError, RuntimeError("half way"), None) is not True
    assert storage.read_bytes(uri) == b"whole"
    assert names_below(root) == ["part.tar"]
    assert not path.exists()
    assert not list(tmp_path.rglob(".tmp-*"))


def test_while_it_is_built_nobody_sees_a_file(root: str) -> None:
    uri = storage.join(root, "part.tar")
    with storage.building(uri) as path:
        path.write_bytes(DATA)
        assert not storage.exists(uri)
        assert names_below(root) == []
    assert storage.read_bytes(uri) == DATA


def test_files_built_by_several_threads_at_once_are_each_one_of_them_whole(root: str) -> None:
    uri = storage.join(root, "part")
    contents = [bytes([i]) * 50_000 for i in range(4)]
    threads = [threading.Thread(target=storage.commit_bytes, args=(uri, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.read_bytes(uri) in contents
    assert names_below(root) == ["part"]


def test_a_large_file_goes_up_in_parts_and_arrives_whole(s3_bucket: str) -> None:
    uri = f"{s3_bucket}/large/x"
    with storage.building(uri) as path, path.open("wb") as file:
        for i in range(10):  # boto3 uploads in parts from 8 MB on
            file.write(bytes([i]) * 2**20)
    assert storage.read_bytes(uri, 9 * 2**20 - 1, 2) == b"\x08\x09"
    with storage.local_copy(uri) as copy:
        assert copy.stat().st_size == 10 * 2**20
    assert not copy.exists()
    ((_, _, revision),) = storage.list_files(f"{s3_bucket}/large")
    assert revision.endswith("-2")  # S3's mark of an upload of two parts


def test_an_upload_that_fails_in_its_second_part_leaves_what_was_there_and_no_open_upload(s3_bucket: str) -> None:
    from botocore.exceptions import ClientError

    def refuse_the_second(params: dict[str, Any], **_: Any) -> None:
        if params["query_string"]["partNumber"] == 2:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "UploadPart")

    uri, client = f"{s3_bucket}/failing", storage._s3("earshot")
    storage.commit_bytes(uri, b"whole")
    client.meta.events.register("before-call.s3.UploadPart", refuse_the_second, "refuse")
    try:
        with pytest.raises(storage.remote_errors(), match="AccessDenied"), storage.building(uri) as path:
            path.write_bytes(bytes(9 * 2**20))
    finally:
        client.meta.events.unregister("before-call.s3.UploadPart", unique_id="refuse")
    assert storage.read_bytes(uri) == b"whole"
    assert "Uploads" not in client.list_multipart_uploads(Bucket="earshot")
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ["a b.mp4", "a+b.mp4", "50%.mp4", "a%20b.mp4", "Ünï 日本.mp4", "-rf", "q?x=1&y#z", "<&>"]
)
def test_any_key_is_listed_and_read_back(s3_bucket: str, name: str, tmp_path: Path) -> None:
    uri = f"{s3_bucket}/{tmp_path.name}/{name}"
    storage.commit_bytes(uri, name.encode())
    assert names_below(f"{s3_bucket}/{tmp_path.name}") == [name]
    assert storage.exists(uri)
    assert storage.read_bytes(uri, 1) == name.encode()[1:]
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == name.encode()
    assert not storage.create_bytes(uri, b"")
    storage.delete(uri)
    assert not storage.exists(uri)


def test_files_are_listed_below_the_folder_only_and_in_one_order(root: str) -> None:
    names = ["b/2", "b/10", "a", "b.txt", "c/d/e"]
    for name in names:
        storage.commit_bytes(storage.join(root, name), b"x")
    storage.commit_bytes(f"{root}_beside/f", b"x")
    assert sorted(names_below(root)) == sorted(names)
    assert names_below(root) == names_below(root + "/")
    assert names_below(storage.join(root, "b")) == ["10", "2"]
    assert names_below(storage.join(root, "nothing")) == []


def test_local_and_s3_list_in_the_same_order(s3_bucket: str, tmp_path: Path) -> None:
    names = ["b/2", "b/10", "a", "b.txt", "c/d/e", "B", "b-1/x", "b/c/d"]
    for name in names:
        for root in (str(tmp_path), f"{s3_bucket}/order"):
            storage.commit_bytes(storage.join(root, name), b"x")
    assert names_below(str(tmp_path)) == names_below(f"{s3_bucket}/order")


COPYING = """
    import sys, time
    from pipeline import storage
    with storage.local_copy(sys.argv[1]) as path:
        print(path, flush=True)
        time.sleep(60)
"""


def test_copies_of_killed_processes_are_removed_and_those_of_living_ones_are_not(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.commit_bytes(f"{s3_bucket}/copied/x", DATA)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", textwrap.dedent(COPYING), f"{s3_bucket}/copied/x"]

    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (dead, left), (living, used) = start(), start()
    with dead, living:
        dead.kill()
        dead.wait()
        assert left.read_bytes() == used.read_bytes() == DATA
        third, held = start()
        with third:
            assert [left.exists(), used.exists(), held.exists()] == [False, True, True]
            assert not left.parent.parent.exists()
            third.kill()
        living.kill()


def test_a_listing_streams_it_asks_for_a_page_when_the_one_before_is_used_up(s3_bucket: str) -> None:
    import moto.backends

    backend = moto.backends.get_backend("s3")["123456789012"]["aws"]
    names = [f"{i:04d}" for i in range(3500)]
    for name in names:
        backend.put_object("earshot", f"many/{name}", b"")
    requests: list[str] = []
    events = storage._s3("earshot").meta.events
    events.register("before-call.s3.ListObjectsV2", lambda **_: requests.append("page"), "count")
    try:
        entries = storage.list_files(f"{s3_bucket}/many")
        taken = [next(entries) for _ in range(1000)]
        assert len(requests) == 1
        taken += entries
        assert len(requests) == 4
    finally:
        events.unregister("before-call.s3.ListObjectsV2", unique_id="count")
    assert [storage.relative(entry.uri, f"{s3_bucket}/many") for entry in taken] == names


def test_a_listing_of_several_pages_is_whole(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # what the endpoint gives at once
    for i in range(25):
        storage.commit_bytes(f"{s3_bucket}/pages/{i:04d}", b"")
    page = storage._s3("earshot").list_objects_v2(Bucket="earshot", Prefix="pages/")
    assert page["IsTruncated"]
    assert names_below(f"{s3_bucket}/pages") == [f"{i:04d}" for i in range(25)]


@pytest.mark.parametrize("name", ["plain.mp4", "ümlaut 50%.mp4", "file with%20.mp4", b"latin1 \xe9\xff.mp4"])
def test_any_file_name_survives_as_text(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"x")
    (entry,) = storage.list_files(str(tmp_path))
    entry.uri.encode()  # any table can hold it
    assert storage.local_path(entry.uri) == path
    assert storage.read_bytes(entry.uri) == b"x"
    assert storage.exists(entry.uri)
    assert storage.local_path(storage.to_uri(path)) == path


def test_names_below_a_folder_that_is_not_utf8_stay_relative(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b").write_bytes(b"")
    (entry,) = storage.list_files(str(folder))
    assert storage.relative(entry.uri, str(folder)) == "a/b"


@pytest.mark.parametrize("spelling", ["a", "./a", "a/", ".//a", "../{}/a"])
def test_addresses_listed_begin_with_the_folder_as_it_was_spelt(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.commit_bytes("a/b/c", b"x")
    assert names_below(spelling.format(tmp_path.name)) == ["b/c"]


def test_what_is_no_file_is_listed_without_being_entered_or_opened_and_says_so_when_copied(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    entries = list(storage.list_files(str(tmp_path)))
    assert [Path(entry.uri).name for entry in entries] == ["circle", "nowhere", "pipe"]
    assert {entry.size_bytes for entry in entries} == {0}
    for entry, says in zip(entries, ["circle: a folder or a link", "nowhere: no such", "pipe: no such"], strict=True):
        with pytest.raises(DataError, match=says), storage.local_copy(entry.uri):
            pass


@pytest.mark.parametrize(
    "uri", ["x" * 300, "file/below", "a\0b", "s3://Bad_Bucket!/x", "s3:///x.mp4", "s3://earshot", "s3://nobody/x"]
)
def test_an_address_at_which_no_file_can_be_is_missing(
    uri: str, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MissingError), storage.local_copy(uri):
        pass


@pytest.mark.parametrize(("number", "is_missing"), [(errno.EACCES, True), (errno.EIO, False), (errno.ESTALE, False)])
def test_a_file_that_may_not_be_read_is_missing_and_one_on_a_broken_disk_is_not(
    number: int, is_missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "x").write_bytes(DATA)
    monkeypatch.setattr(Path, "open", refuse)  # root may read anything, so the real thing cannot be had
    with pytest.raises(DataError, match=os.strerror(number)) as caught, storage.local_copy(str(tmp_path / "x")):
        pass
    assert isinstance(caught.value, MissingError) == is_missing


def test_a_link_to_a_file_has_the_size_and_revision_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "far").write_bytes(DATA)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (entry,) = storage.list_files(str(tmp_path / "near"))
    assert entry[1:] == (len(DATA), str((tmp_path / "far").stat().st_mtime_ns))


def test_who_reads_the_old_file_reads_it_to_the_end_while_it_is_replaced(tmp_path: Path) -> None:
    storage.commit_bytes(str(tmp_path / "x"), b"old and whole")
    with (tmp_path / "x").open("rb") as file:
        storage.commit_bytes(str(tmp_path / "x"), b"new")
        assert file.read() == b"old and whole"
    assert storage.read_bytes(str(tmp_path / "x")) == b"new"


def test_a_committed_file_may_be_read_by_others(tmp_path: Path) -> None:
    storage.commit_bytes(str(tmp_path / "x"), b"x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_check_writable_leaves_nothing_behind(root: str, tmp_path: Path) -> None:
    storage.check_writable(root)
    assert names_below(root) == []
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written to"):
        storage.check_writable(str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        storage.check_writable("s3://no-such-bucket/prefix")
    with pytest.raises(ConfigError, match="no bucket"):
        storage.check_writable("s3:///prefix")


# --- an object store with faults ---


class Store(ThreadingHTTPServer):
    """One S3 bucket on loopback that answers the next requests as `faults` says, and then as it should."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StoreHandler)
        self.objects: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []  # method, headers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hung up; it is meant to."""


class StoreHandler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"  # in which who uploads waits for a word before it sends the body

    def do_GET(self) -> None:
        fault = self.fault()
        if "list-type=2" in self.path:
            self.list_objects()
            return
        data = self.server.objects[self.path]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        if self.headers.get("If-Match", etag) != etag:
            self.answer(412)
        elif fault is None or fault == "break":
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1 if last else None]
            self.answer(206, {"ETag": etag}, part, len(part) // 2 if fault else len(part))

    def list_objects(self) -> None:
        assert "encoding-type=url" in self.path  # XML has no way to write some characters
        keys = [path.removeprefix("/bucket/") for path in self.server.objects]
        contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
        body = f"<ListBucketResult><EncodingType>url</EncodingType>{contents}</ListBucketResult>"
        self.answer(200, {"Content-Type": "application/xml"}, body.encode())

    def do_PUT(self) -> None:
        fault = self.fault()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "If-None-Match" in self.headers and self.path in self.server.objects:
            self.answer(412)
        elif fault is None or fault == "no answer":
            self.server.objects[self.path] = data
            if fault is None:
                self.answer(200)

    def do_HEAD(self) -> None:
        self.fault()
        self.answer(200 if self.path in self.server.objects else 404)

    def fault(self) -> str | None:
        self.close_connection = True
        self.server.seen.append((self.command, dict(self.headers)))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is not None and fault[0].isdigit():
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, _, code = fault.partition(" ")
            self.answer(int(status), data=f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
        return fault

    def answer(
        self, status: int, headers: dict[str, str] | None = None, data: bytes = b"", sent: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[:sent])

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with Store() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
        for name, value in (settings | {"ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}).items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setattr(storage, "FIRST_WAIT_S", 0.01)
        storage._s3_client.cache_clear()
        yield server
        storage._s3_client.cache_clear()
        server.shutdown()


def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


LARGE = DATA * 3000  # 3 MB: more than one piece


@pytest.mark.parametrize("way", ["read", "copy"])
def test_a_body_that_breaks_off_is_continued_where_it_did(way: str, store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break", "break"]
    if way == "read":
        assert storage.read_bytes("s3://bucket/x") == LARGE
    else:
        with storage.local_copy("s3://bucket/x") as path:
            assert path.read_bytes() == LARGE
    ranges = [headers.get("Range") for _, headers in store.seen]
    assert ranges[0] is None
    starts = [int(span.removeprefix("bytes=").partition("-")[0]) for span in ranges[1:] if span]
    assert len(ranges) == 3
    assert 0 < starts[0] <= len(LARGE) // 2 < starts[1] <= len(LARGE) * 3 // 4


def test_a_range_that_breaks_off_is_continued_to_its_own_end(store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"]
    assert storage.read_bytes("s3://bucket/x", 1000, 2_500_000) == LARGE[1000:2_501_000]


def test_a_body_that_always_breaks_off_is_an_error_that_names_it(store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"] * 100
    with pytest.raises(DataError, match=r"s3://bucket/x: broke off at byte \d+ of 3072000, 5 times"):
        storage.read_bytes("s3://bucket/x")
    assert len(store.seen) == 5


REFUSALS = {
    ("404 NoSuchKey", "test"): True,
    ("404 NoSuchBucket", "test"): True,
    ("404", "test"): True,
    ("400 KeyTooLongError", "test"): True,
    ("403 AccessDenied", "test"): False,
    ("403 InvalidAccessKeyId", "test"): False,
    ("400 ExpiredToken", "test"): False,
    ("412 PreconditionFailed", "test"): False,
    ("500 InternalError", "test"): False,
    ("503", "test"): False,
    ("403 AccessDenied", ""): True,
    ("404 NoSuchKey", ""): True,
    ("503", ""): False,
}


@pytest.mark.parametrize(("fault", "key"), REFUSALS, ids=lambda value: value.replace(" ", "_") or "unsigned")
def test_an_object_is_missing_only_if_the_store_says_so_of_the_object(
    fault: str, key: str, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not key:
        without_credentials(monkeypatch, tmp_path)
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)  # boto's too
    store.objects["/bucket/x"] = DATA
    store.faults = [fault] * 100
    with pytest.raises(DataError, match="s3://bucket/x: cannot be read") as caught, storage.local_copy("s3://bucket/x"):
        pass
    assert isinstance(caught.value, MissingError) == REFUSALS[fault, key]


def test_a_body_that_always_breaks_off_is_not_missing(store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"] * 100
    with pytest.raises(DataError) as caught, storage.local_copy("s3://bucket/x"):
        pass
    assert not isinstance(caught.value, MissingError)


def test_an_object_replaced_while_it_is_read_is_an_error_and_never_a_mixture(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(_: float) -> None:
        store.objects["/bucket/x"] = LARGE[::-1]

    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"]
    monkeypatch.setattr(storage.time, "sleep", replace)
    with pytest.raises(DataError, match="s3://bucket/x"):
        storage.read_bytes("s3://bucket/x")


def test_a_key_with_a_line_break_is_listed_and_read_back(store: Store) -> None:
    storage.commit_bytes("s3://bucket/a\nb", DATA)
    ((uri, _, _),) = storage.list_files("s3://bucket")
    assert uri == "s3://bucket/a\nb"
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == DATA


@pytest.mark.parametrize("status", ["500", "503"])
def test_a_request_that_is_turned_away_is_sent_again(status: str, store: Store) -> None:
    store.faults = [status]
    storage.commit_bytes("s3://bucket/x", DATA)
    store.faults = [status]
    assert storage.read_bytes("s3://bucket/x") == DATA
    assert [method for method, _ in store.seen] == ["PUT", "PUT", "GET", "GET"]


def test_a_create_whose_answer_was_lost_is_known_by_its_content(store: Store) -> None:
    store.faults = ["no answer"]
    assert storage.create_bytes("s3://bucket/x", b"mine")
    store.faults = ["503"]
    assert not storage.create_bytes("s3://bucket/x", b"theirs")
    assert store.objects["/bucket/x"] == b"mine"


def test_uploads_carry_no_checksum_that_older_stores_refuse(store: Store) -> None:
    storage.commit_bytes("s3://bucket/x", DATA)
    ((_, headers),) = store.seen
    assert not any(name.lower().startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-c")) for name in headers)
    assert store.objects["/bucket/x"] == DATA


# --- who signs ---


def test_requests_are_signed_where_credentials_are_configured(store: Store) -> None:
    storage.exists("s3://bucket/x")
    ((_, headers),) = store.seen
    assert "test/" in headers["Authorization"]


def test_requests_are_unsigned_where_none_are(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_credentials(monkeypatch, tmp_path)
    storage.exists("s3://bucket/x")
    ((_, headers),) = store.seen
    assert "Authorization" not in headers
    store.faults = ["403"]
    with pytest.raises(ConfigError, match="No AWS credentials are configured"):
        storage.check_writable("s3://bucket/root")


def test_a_public_bucket_is_asked_unsigned_at_its_mirror_whatever_the_root_is_set_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_PUBLIC_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store.objects["/multimedia-commons/data/x.mp4"] = DATA
    assert storage.read_bytes("s3://multimedia-commons/data/x.mp4") == DATA
    ((_, headers),) = store.seen
    assert "Authorization" not in headers


def test_a_public_bucket_that_cannot_be_reached_is_told_with_what_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_PUBLIC_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)  # boto's too
    with (
        pytest.raises(DataError, match=r"Give --media.* EARSHOT_PUBLIC_ENDPOINT_URL") as caught,
        storage.local_copy("s3://multimedia-commons/data/x.mp4"),
    ):
        pass
    assert not isinstance(caught.value, MissingError)


def test_without_a_mirror_a_public_bucket_is_asked_at_aws_in_its_region(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARSHOT_PUBLIC_ENDPOINT_URL", raising=False)
    assert storage._s3("multimedia-commons").meta.endpoint_url == "https://s3.us-west-2.amazonaws.com"
    assert storage._s3("bucket").meta.endpoint_url == os.environ["AWS_ENDPOINT_URL"]
