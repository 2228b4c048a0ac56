"""Answers of an object store: which requests are sent again, until when, and what is said about the others."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import exceptions as boto

from pipeline.errors import ConfigError, OutageError, UnreadError
from pipeline.storage import files, outages, s3_clients
from tests.helpers.faulty_store import Store

PASSING = ["500 InternalError", "502", "503", "503 SlowDown", "504", "507", "429", "400 RequestTimeout",
           "400 KMS.ThrottlingException", "no answer", "silence"]  # fmt: skip
URI, DATA = "s3://bucket/x", b"0123456789"


def build(uri: str) -> None:
    with files.building(uri) as path:
        path.write_bytes(DATA)


OPERATIONS: dict[str, Callable[[], Any]] = {
    "read": lambda: files.read_bytes(URI) == DATA,
    "range": lambda: files.read_bytes(URI, 3, 4) == DATA[3:7],
    "list": lambda: [entry.uri for entry in files.list_files("s3://bucket")] == [URI],
    "exists": lambda: files.exists(URI),
    "commit": lambda: files.commit_bytes(URI, DATA) is None,
    "create": lambda: files.create_bytes("s3://bucket/new", DATA),
    "build": lambda: build(URI) is None,
    "delete": lambda: files.delete(URI) is None,
    "delete_if": lambda: files.delete_if(URI, DATA),
}


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store with one object; an answer that does not come is missed after 0.1 s, and boto limits no rate."""

    def hurry(context: dict[str, Any], **_: Any) -> None:
        context["read_timeout"] = 0.1

    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_: True)
    store.objects["/bucket/x"] = DATA
    s3_clients.client("bucket").meta.events.register("before-parameter-build.s3", hurry)
    yield store
    store.is_over.set()
    outages.ended("s3://bucket")


def test_what_passes_is_outlasted(asked: Store) -> None:
    for fault in PASSING:
        asked.faults, asked.seen = [fault] * 2, []
        assert files.read_bytes(URI) == DATA
        assert [method for method, _ in asked.seen] == ["GET"] * 3, fault


def test_every_operation_outlasts_it_and_does_its_work_once(asked: Store) -> None:
    kept: dict[str, dict[str, bytes]] = {"delete": {}, "delete_if": {}, "create": {"/bucket/new": DATA}}
    for name, operation in OPERATIONS.items():
        asked.objects = {} if name == "create" else {"/bucket/x": DATA}
        asked.faults, asked.seen = ["503", "no answer", "503"], []
        assert operation(), name
        assert len(asked.seen) >= 4, name
        assert asked.objects == kept.get(name, {"/bucket/x": DATA}), name


def test_an_outage_that_outlasts_the_limit_is_an_error_that_says_where_what_and_what_to_do(
    asked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0.2")
    monkeypatch.setattr(time, "sleep", asked.is_over.wait)
    asked.faults = ["503 SlowDown"] * 1000
    with pytest.raises(OutageError, match=r"s3://bucket/x: turned away with 503 SlowDown, \d+ times.*AWS_ENDPOINT_URL"):
        files.read_bytes(URI)
    with pytest.raises(OutageError, match="s3://bucket/: turned away"):
        list(files.list_files("s3://bucket"))


def test_a_refused_connection_and_an_unknown_host_are_outages(asked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def resolve(host: str, *arguments: Any) -> Any:
        if host == "nowhere":
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return getaddrinfo(host, *arguments)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for endpoint, reason in (
        (f"http://127.0.0.1:{port}", "Connection refused"),
        ("http://nowhere", "Temporary failure in name resolution"),
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        s3_clients.make_client.cache_clear()
        with pytest.raises(OutageError, match=rf"no answer from {endpoint} \({reason}\), 1 times"):
            files.exists(URI)


LASTING = {
    "403 InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "403 SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "403 RequestTimeTooSkewed": "clock differs",
    "400 ExpiredToken": "have expired",
    "403 AccessDenied": "check the policy",
}


def test_what_another_try_would_meet_again_is_raised_at_once_with_what_to_do(asked: Store) -> None:
    for fault, remedy in LASTING.items():
        for name in ("list", "commit", "exists"):
            asked.faults, asked.seen = [fault] * 9, []
            with pytest.raises(files.remote_errors()) as caught:
                OPERATIONS[name]()
            # HEAD's answer has no reason, and GET's has; of a HEAD with 400 boto asks for the bucket's region too
            assert len(asked.seen) == (1 if name != "exists" else 3 if fault.startswith("400") else 2)
            assert remedy in files.advice(caught.value)
            assert "retries" not in str(caught.value)
        asked.faults = [fault] * 9
        with pytest.raises(UnreadError, match=remedy):
            files.read_bytes(URI)
        asked.faults = [fault] * 9
        with pytest.raises(ConfigError, match=remedy):
            files.check_writable("s3://bucket/root")


def test_a_bucket_that_is_not_there_is_said_to_be(s3_bucket: str) -> None:
    with pytest.raises(files.remote_errors()) as caught:
        list(files.list_files("s3://no-such-bucket/videos"))
    assert "no such bucket at this endpoint" in files.advice(caught.value)


def test_an_endpoint_that_can_be_none_is_the_users_mistake(asked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "store.local:9000")
    s3_clients.make_client.cache_clear()
    with pytest.raises(ConfigError, match=r"store.local:9000. Expected http:// or https://"):
        files.exists(URI)


def test_a_certificate_that_is_not_trusted_is_no_outage(asked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{asked.server_port}")  # which speaks http
    s3_clients.make_client.cache_clear()
    with pytest.raises(boto.SSLError) as caught:
        files.exists(URI)
    assert "http or https" in files.advice(caught.value)


def test_an_upload_whose_completion_was_answered_to_nobody_goes_up_again(s3_bucket: str) -> None:
    client, lost = s3_clients.client("earshot"), []

    def lose(request: Any, **_: Any) -> None:
        if not lost:
            lost.append(client._endpoint.http_session.send(request))
            raise boto.ConnectionClosedError(endpoint_url=request.url)

    client.meta.events.register("before-send.s3.CompleteMultipartUpload", lose, "lose")
    try:
        with files.building(f"{s3_bucket}/completed/x") as path:
            path.write_bytes(bytes(9 * 2**20))
    finally:
        client.meta.events.unregister("before-send.s3.CompleteMultipartUpload", unique_id="lose")
    assert len(lost) == 1
    ((_, size_bytes, _),) = files.list_files(f"{s3_bucket}/completed")
    assert size_bytes == 9 * 2**20
    assert "Uploads" not in client.list_multipart_uploads(Bucket="earshot")


def test_a_pause_within_a_short_block_is_short_for_a_silent_store_too(store: Store) -> None:
    store.faults = ["silence"] * 9
    began = time.monotonic()
    with pytest.raises(OutageError, match="timed out"), outages.at_most(0):
        files.read_bytes(URI)
    store.is_over.set()
    assert time.monotonic() - began < 20  # boto's own limit is a minute
