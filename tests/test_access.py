"""Access at a root, tried for real: on a whole store, on stores that deny or ignore something, on local folders."""

import contextlib
import email.utils
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError

from pipeline.storage import files, ranges, s3_clients
from pipeline.storage.access import CREATE, DELETE, LIST, REACH, READ, REFUSE, WRITE, read_error, try_root
from tests.helpers.refusal_answers import Body, refusal
from tests.helpers.versions import VERSIONED, kept_versions

On = Callable[[str, Callable[..., Any]], None]


@pytest.fixture
def on(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[On]:
    """on(event, handler): botocore calls the handler, for this test alone."""
    monkeypatch.setattr(ranges, "read", lambda *_: None)  # left to botocore
    events = s3_clients.client("earshot").meta.events
    with contextlib.ExitStack() as stack:

        def register(event: str, handler: Callable[..., Any]) -> None:
            events.register(event, handler, f"test-{event}")
            stack.callback(events.unregister, event, unique_id=f"test-{event}")

        yield register


def deny(request: AWSRequest, **_: Any) -> AWSResponse:
    return refusal(request)


def test_a_store_that_allows_all_refuses_nothing_and_nothing_is_left_behind(s3_bucket: str, tmp_path: Path) -> None:
    root = f"{s3_bucket}/{tmp_path.name}/root"
    access = try_root(root)
    assert access["refused"] == {}
    assert access["clock_ahead_s"] is not None
    assert abs(access["clock_ahead_s"]) < 5
    assert list(files.list_files(root)) == []


@pytest.mark.parametrize(
    ("operation", "steps"),
    [
        ("PutObject", {WRITE, CREATE}),
        ("GetObject", {READ, DELETE}),  # what is deleted is compared first
        ("ListObjectsV2", {LIST}),
        ("DeleteObject", {DELETE}),
    ],
)
def test_a_right_that_is_missing_is_the_step_that_needs_it(
    operation: str, steps: set[str], s3_bucket: str, tmp_path: Path, on: On
) -> None:
    on(f"before-send.s3.{operation}", deny)
    refused = try_root(f"{s3_bucket}/{tmp_path.name}")["refused"]
    assert set(refused) == steps
    assert all("AccessDenied" in error for error in refused.values())


def test_a_store_that_ignores_conditions_is_found_out(s3_bucket: str, tmp_path: Path, on: On) -> None:
    def forget(params: dict[str, Any], **_: Any) -> None:
        params["headers"].pop("If-None-Match", None)

    on("before-call.s3.PutObject", forget)
    refused = try_root(f"{s3_bucket}/{tmp_path.name}")["refused"]
    assert list(refused) == [REFUSE]
    assert "If-None-Match" in refused[REFUSE]


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", ""])
def test_the_clock_is_compared_with_the_stores_also_where_it_refuses(
    code: str, s3_bucket: str, tmp_path: Path, on: On
) -> None:
    def answer(request: AWSRequest, **_: Any) -> AWSResponse:
        headers = {"content-type": "application/xml", "date": email.utils.formatdate(time.time() - 1200, usegmt=True)}
        error = f"<Error><Code>{code}</Code><Message>late</Message></Error>".encode()
        return AWSResponse(request.url, 403 if code else 200, headers, Body(error if code else b"<ListBucketResult/>"))

    on("before-send.s3.ListObjectsV2", answer)
    ahead_s = try_root(f"{s3_bucket}/{tmp_path.name}")["clock_ahead_s"]
    assert ahead_s == pytest.approx(1200, abs=5)


def test_a_store_that_does_not_answer_and_a_bucket_that_is_not_there_are_asked_once(
    s3_bucket: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    on("before-send.s3.PutObject", lambda **_: asked.append("put"))
    assert list(try_root("s3://no-such-bucket/root")["refused"]) == [REACH]

    def refuse(request: AWSRequest, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)

    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")
    on("before-send.s3.ListObjectsV2", refuse)
    refused = try_root(f"{s3_bucket}/root")["refused"]
    assert "no answer from http" in refused[REACH]
    assert not asked


def test_versions_and_the_rules_against_them_are_facts_of_the_bucket(versioned: str) -> None:
    client = s3_clients.client(VERSIONED)

    def facts() -> tuple[bool | None, bool | None, bool | None]:
        found = try_root(f"{versioned}/workspace")
        return found["keeps_versions"], found["drops_old_locks"], found["drops_uploads"]

    assert facts() == (True, False, False)
    old = {"ID": "locks", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    parts = {"ID": "parts", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}

    def rule(**rules: str) -> None:
        both = [old | {"Filter": {"Prefix": rules["old"]}}, parts | {"Filter": {"Prefix": rules["parts"]}}]
        client.put_bucket_lifecycle_configuration(Bucket=VERSIONED, LifecycleConfiguration={"Rules": both})

    rule(old="elsewhere/", parts="workspace/clips/")
    assert facts() == (True, False, False)
    rule(old="workspace/.locks/", parts="workspace/")
    assert facts() == (True, True, True)
    rule(old="", parts="")
    assert facts() == (True, True, True)


def test_versions_stay_where_they_may_not_be_deleted_by_their_ids_and_only_there(versioned: str, on: On) -> None:
    access = try_root(f"{versioned}/workspace")
    assert (access["refused"], access["leaves_versions"], kept_versions()) == ({}, False, [])

    def deny_versions(request: AWSRequest, **_: Any) -> AWSResponse | None:
        return deny(request) if "versionId=" in request.url else None

    on("before-send.s3.DeleteObject", deny_versions)
    access = try_root(f"{versioned}/workspace")
    assert (access["refused"], access["leaves_versions"]) == ({}, True)
    assert len(kept_versions()) == 4  # two files and the marks that delete them


def test_a_local_root_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    assert try_root(str(tmp_path / "new" / "root"))["refused"] == {}
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "root").mkdir()
    assert try_root(str(tmp_path / "root"))["refused"] == {}
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    (tmp_path / "file").touch()
    refused = try_root(str(tmp_path / "file" / "root"))["refused"]
    assert {WRITE, CREATE} <= set(refused)
    assert "Not a directory" in refused[WRITE]


def test_reading_takes_one_byte(s3_bucket: str, tmp_path: Path, on: On) -> None:
    files.commit_bytes(f"{s3_bucket}/{tmp_path.name}/video", bytes(100))
    spans: list[str] = []
    on("before-call.s3.GetObject", lambda params, **_: spans.append(params["headers"]["Range"]))
    assert read_error(f"{s3_bucket}/{tmp_path.name}/video") == ""
    assert spans == ["bytes=0-0"]
    assert "no-such-video" in read_error(f"{s3_bucket}/{tmp_path.name}/no-such-video")
