"""Objects: whole, of one revision and never another's, on a real S3 endpoint and on a store with faults."""

import hashlib
import os
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataError, MissingError, RefusedError, UnreadError
from pipeline.storage import files, localfiles, s3, s3_clients
from tests.helpers.faulty_store import Store, without_credentials

DATA = bytes(range(256)) * 4


def test_the_revision_of_an_object_is_the_md5_of_its_content(s3_bucket: str) -> None:
    files.commit_bytes(f"{s3_bucket}/revision/x", DATA)
    ((_, _, revision),) = files.list_files(f"{s3_bucket}/revision")
    assert revision == hashlib.md5(DATA).hexdigest()  # so an ETag, without its quotes


def test_a_copy_of_an_object_lies_where_it_is_removed_after_a_kill_and_goes_when_it_was_used(s3_bucket: str) -> None:
    files.commit_bytes(f"{s3_bucket}/copied/x", DATA)
    with files.local_copy(f"{s3_bucket}/copied/x") as path:
        assert path.read_bytes() == DATA
        assert path.parent == localfiles.scratch(os.getpid())
    assert not path.exists()


def test_an_object_that_is_replaced_between_reading_and_deleting_stays(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, client = f"{s3_bucket}/{tmp_path.name}/x", s3_clients.client("earshot")
    delete_object = client.delete_object

    def replaced(**arguments: Any) -> Any:
        files.commit_bytes(uri, b"new")
        return delete_object(**arguments)

    files.commit_bytes(uri, b"old")
    monkeypatch.setattr(client, "delete_object", replaced)
    assert not files.delete_if(uri, b"old")
    assert files.read_bytes(uri) == b"new"


def test_a_large_file_goes_up_in_parts_and_arrives_whole(s3_bucket: str) -> None:
    uri = f"{s3_bucket}/large/x"
    with files.building(uri) as path, path.open("wb") as file:
        for i in range(10):  # boto3 uploads in parts from 8 MB on
            file.write(bytes([i]) * 2**20)
    assert files.read_bytes(uri, 9 * 2**20 - 1, 2) == b"\x08\x09"
    with files.local_copy(uri) as copy:
        assert copy.stat().st_size == 10 * 2**20
    assert not copy.exists()
    ((_, _, revision),) = files.list_files(f"{s3_bucket}/large")
    assert revision.endswith("-2")  # S3's mark of an upload of two parts


def test_an_upload_that_fails_in_its_second_part_leaves_what_was_there_and_no_open_upload(s3_bucket: str) -> None:
    from botocore.exceptions import ClientError

    def refuse_the_second(params: dict[str, Any], **_: Any) -> None:
        if params["query_string"]["partNumber"] == 2:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "UploadPart")

    uri, client = f"{s3_bucket}/failing", s3_clients.client("earshot")
    files.commit_bytes(uri, b"whole")
    client.meta.events.register("before-call.s3.UploadPart", refuse_the_second, "refuse")
    try:
        with pytest.raises(files.remote_errors(), match="AccessDenied"), files.building(uri) as path:
            path.write_bytes(bytes(9 * 2**20))
    finally:
        client.meta.events.unregister("before-call.s3.UploadPart", unique_id="refuse")
    assert files.read_bytes(uri) == b"whole"
    assert "Uploads" not in client.list_multipart_uploads(Bucket="earshot")
    assert not path.exists()


def test_killed_uploads_below_a_prefix_are_removed_and_no_others(s3_bucket: str) -> None:
    client = s3_clients.client("earshot")
    for key in ("w/clips/base/0.tar", "w/clips2/0.tar"):
        upload = client.create_multipart_upload(Bucket="earshot", Key=key)["UploadId"]
        client.upload_part(Bucket="earshot", Key=key, UploadId=upload, PartNumber=1, Body=b"their sound")
    assert s3.abort_uploads(f"{s3_bucket}/w/clips")
    (left,) = client.list_multipart_uploads(Bucket="earshot")["Uploads"]
    assert left["Key"] == "w/clips2/0.tar"
    assert s3.abort_uploads(f"{s3_bucket}/w")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="earshot")


@pytest.mark.parametrize(
    "name", ["a b.mp4", "a+b.mp4", "50%.mp4", "a%20b.mp4", "Ünï 日本.mp4", "-rf", "q?x=1&y#z", "<&>"]
)
def test_any_key_is_listed_and_read_back(s3_bucket: str, name: str, tmp_path: Path) -> None:
    uri = f"{s3_bucket}/{tmp_path.name}/{name}"
    files.commit_bytes(uri, name.encode())
    assert [entry.uri for entry in files.list_files(f"{s3_bucket}/{tmp_path.name}")] == [uri]
    assert files.exists(uri)
    assert files.read_bytes(uri, 1) == name.encode()[1:]
    with files.local_copy(uri) as path:
        assert path.read_bytes() == name.encode()
    assert not files.create_bytes(uri, b"")
    files.delete(uri)
    assert not files.exists(uri)


def test_a_folder_that_some_console_drew_is_no_file(s3_bucket: str) -> None:
    for name in ("", "a/", "a/b"):
        files.commit_bytes(f"{s3_bucket}/drawn/{name}", b"")
    assert [entry.uri for entry in files.list_files(f"{s3_bucket}/drawn")] == [f"{s3_bucket}/drawn/a/b"]


def test_a_listing_streams_it_asks_for_a_page_when_the_one_before_is_used_up_and_is_whole(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # what the endpoint gives at once
    names = [f"{i:04d}" for i in range(35)]
    for name in names:
        files.commit_bytes(f"{s3_bucket}/many/{name}", b"")
    requests: list[str] = []
    events = s3_clients.client("earshot").meta.events
    events.register("before-call.s3.ListObjectsV2", lambda **_: requests.append("page"), "count")
    try:
        entries = files.list_files(f"{s3_bucket}/many")
        taken = [next(entries) for _ in range(10)]
        assert len(requests) == 1
        taken += entries
        assert len(requests) == 4
    finally:
        events.unregister("before-call.s3.ListObjectsV2", unique_id="count")
    assert [files.relative(entry.uri, f"{s3_bucket}/many") for entry in taken] == names


@pytest.mark.parametrize(("there", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_absent_key_that_looks_like_one_that_is_there_says_which_characters_differ(
    there: str, asked: str, s3_bucket: str, tmp_path: Path
) -> None:
    uri = f"{s3_bucket}/{tmp_path.name}/caf\u00e9.mp4"
    files.commit_bytes(unicodedata.normalize(there, uri), DATA)
    codes = {"NFC": "U+00E9", "NFD": "U+0065 U+0301"}
    with pytest.raises(MissingError) as caught:
        files.read_bytes(unicodedata.normalize(asked, uri))
    assert f"({codes[asked]}) in one and `" in str(caught.value)
    assert f"({codes[there]}) in the other" in str(caught.value)


# --- an object store with faults ---


LARGE = DATA * 3000  # 3 MB: more than one piece


@pytest.mark.parametrize("way", ["read", "copy"])
def test_a_body_that_breaks_off_is_continued_where_it_did(way: str, store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break", "break"]
    if way == "read":
        assert files.read_bytes("s3://bucket/x") == LARGE
    else:
        with files.local_copy("s3://bucket/x") as path:
            assert path.read_bytes() == LARGE
    ranges = [headers.get("Range") for _, headers in store.seen]
    assert ranges[0] is None
    starts = [int(span.removeprefix("bytes=").partition("-")[0]) for span in ranges[1:] if span]
    assert len(ranges) == 3
    assert 0 < starts[0] <= len(LARGE) // 2 < starts[1] <= len(LARGE) * 3 // 4


def test_a_range_that_breaks_off_is_continued_to_its_own_end(store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"]
    assert files.read_bytes("s3://bucket/x", 1000, 2_500_000) == LARGE[1000:2_501_000]


def test_a_body_that_always_breaks_off_is_an_error_that_names_it_and_not_missing(store: Store) -> None:
    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"] * 100
    says = r"s3://bucket/x: broke off at byte \d+ of 3072000, 5 times"
    with pytest.raises(DataError, match=says) as caught, files.local_copy("s3://bucket/x"):
        pass
    assert not isinstance(caught.value, MissingError)
    assert len(store.seen) == 5


REFUSALS = {
    ("404 NoSuchKey", "test"): MissingError,
    ("404 NoSuchBucket", "test"): MissingError,
    ("404", "test"): MissingError,
    ("400 KeyTooLongError", "test"): MissingError,
    ("403 AccessDenied", "test"): RefusedError,
    ("403 InvalidAccessKeyId", "test"): UnreadError,
    ("403 InvalidObjectState", "test"): RefusedError,
    ("400 KMS.DisabledException", "test"): RefusedError,
    ("400 ExpiredToken", "test"): UnreadError,
    ("412 PreconditionFailed", "test"): UnreadError,
    ("403 AccessDenied", ""): MissingError,
    ("403 InvalidObjectState", ""): RefusedError,
    ("404 NoSuchKey", ""): MissingError,
}


@pytest.mark.parametrize(("fault", "key"), REFUSALS, ids=lambda value: value.replace(" ", "_") or "unsigned")
def test_an_object_is_missing_or_refused_only_if_the_store_says_so_of_the_object(
    fault: str, key: str, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not key:
        without_credentials(monkeypatch, tmp_path)
    store.objects["/bucket/x"] = DATA
    store.faults = [fault] * 100
    with pytest.raises(DataError, match="s3://bucket/x: cannot be read") as caught, files.local_copy("s3://bucket/x"):
        pass
    assert type(caught.value) is REFUSALS[fault, key]


def test_an_object_replaced_while_it_is_read_is_an_error_and_never_a_mixture(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(_: float) -> None:
        store.objects["/bucket/x"] = LARGE[::-1]

    store.objects["/bucket/x"] = LARGE
    store.faults = ["break"]
    monkeypatch.setattr(time, "sleep", replace)
    with pytest.raises(DataError, match="s3://bucket/x"):
        files.read_bytes("s3://bucket/x")


def test_a_key_with_a_line_break_is_listed_and_read_back(store: Store) -> None:
    files.commit_bytes("s3://bucket/a\nb", DATA)
    ((uri, _, _),) = files.list_files("s3://bucket")
    assert uri == "s3://bucket/a\nb"
    assert files.exists(uri)
    assert files.read_bytes(uri) == DATA


def test_a_create_whose_answer_was_lost_is_known_by_its_content(store: Store) -> None:
    store.faults = ["no answer"]
    assert files.create_bytes("s3://bucket/x", b"mine")
    store.faults = ["503"]
    assert not files.create_bytes("s3://bucket/x", b"theirs")
    assert store.objects["/bucket/x"] == b"mine"


def test_a_store_that_knows_no_condition_on_deletes_is_asked_without_one(store: Store) -> None:
    store.objects["/bucket/x"] = DATA
    store.faults = [None, "501 NotImplemented"]
    assert files.delete_if("s3://bucket/x", DATA)
    assert not store.objects
    assert [(method, "If-Match" in headers) for method, headers in store.seen] == [
        ("GET", False),
        ("DELETE", True),
        ("DELETE", False),
    ]


def test_uploads_carry_no_checksum_that_older_stores_refuse(store: Store) -> None:
    files.commit_bytes("s3://bucket/x", DATA)
    ((_, headers),) = store.seen
    assert not any(name.lower().startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-c")) for name in headers)
    assert store.objects["/bucket/x"] == DATA
