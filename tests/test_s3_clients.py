"""Clients of object stores: who signs, which endpoint is asked, and times as boto reads them."""

import datetime
import os
from pathlib import Path

import botocore.utils
import pytest

from pipeline.errors import ConfigError, OutageError, UnreadError
from pipeline.storage import files, s3_clients
from tests.helpers.faulty_store import Store, without_credentials

DATA = b"bytes"


def test_requests_are_signed_where_credentials_are_configured(store: Store) -> None:
    files.exists("s3://bucket/x")
    ((_, headers),) = store.seen
    assert "test/" in headers["Authorization"]


def test_requests_are_unsigned_where_none_are(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_credentials(monkeypatch, tmp_path)
    files.exists("s3://bucket/x")
    ((_, headers),) = store.seen
    assert "Authorization" not in headers
    store.faults = ["403"]
    with pytest.raises(ConfigError, match="No AWS credentials are configured"):
        files.check_writable("s3://bucket/root")


def test_a_node_without_credentials_reads_nothing_for_a_command_that_has_some_and_asks_again_the_next_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.objects["/bucket/x"] = DATA
    with monkeypatch.context() as silent:
        without_credentials(silent, tmp_path)
        silent.setenv(s3_clients.SIGNED, "1")
        store.faults = ["403"]  # to an unsigned request it would read as an absent object
        with pytest.raises(UnreadError, match="finds no AWS credentials"):
            files.read_bytes("s3://bucket/x")
        assert not store.seen
    store.faults = []
    monkeypatch.setenv(s3_clients.SIGNED, "1")
    assert files.read_bytes("s3://bucket/x") == DATA
    assert s3_clients.node_environment() == {s3_clients.SIGNED: "1"}


def test_a_public_bucket_is_asked_unsigned_at_its_mirror_whatever_the_root_is_set_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_PUBLIC_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store.objects["/multimedia-commons/data/x.mp4"] = DATA
    assert files.read_bytes("s3://multimedia-commons/data/x.mp4") == DATA
    ((_, headers),) = store.seen
    assert "Authorization" not in headers


def test_a_public_bucket_that_cannot_be_reached_is_an_error_with_what_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARSHOT_PUBLIC_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("EARSHOT_OUTAGE_S", "0")
    with (
        pytest.raises(OutageError, match=r"127.0.0.1:9 .Connection refused.*EARSHOT_PUBLIC_ENDPOINT_URL") as caught,
        files.local_copy("s3://multimedia-commons/data/x.mp4"),
    ):
        pass
    assert caught.value.topic == "media"


def test_without_a_mirror_a_public_bucket_is_asked_at_aws_in_its_region(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARSHOT_PUBLIC_ENDPOINT_URL", raising=False)
    assert s3_clients.client("multimedia-commons").meta.endpoint_url == "https://s3.us-west-2.amazonaws.com"
    assert s3_clients.client("bucket").meta.endpoint_url == os.environ["AWS_ENDPOINT_URL"]


@pytest.mark.parametrize(
    "text",
    ["2026-11-30T00:00:00.000Z", "2026-11-30T00:00:00Z", "Mon, 30 Nov 2026 00:00:00 GMT", "1795996800", 1795996800],
)
def test_times_in_answers_are_those_that_boto_reads(text: str | int) -> None:
    expected = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
    assert s3_clients.parse_time(text) == botocore.utils.parse_timestamp(text) == expected
