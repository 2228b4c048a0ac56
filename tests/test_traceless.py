"""One object that leaves no versions, whatever happens between its first and its last."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.storage import files, s3_clients
from pipeline.storage.traceless import TracelessObject
from tests.helpers.faulty_store import Store
from tests.helpers.versions import kept_versions


def test_an_object_that_is_replaced_and_removed_leaves_neither_versions_nor_a_mark(versioned: str) -> None:
    uri = f"{versioned}/x"
    for first in (b"a", b"b"):
        thing = TracelessObject(uri)
        assert thing.create(first)
        assert not TracelessObject(uri).create(b"another's")
        for content in (b"1", b"2", b"3"):
            thing.replace(content)
            assert files.read_bytes(uri) == content
            assert kept_versions() == ["x"]
        thing.remove()
        assert kept_versions() == []


def test_what_another_process_put_there_since_stays(versioned: str, s3_bucket: str) -> None:
    for uri in (f"{versioned}/x", f"{s3_bucket}/traceless/x"):  # with versions and without
        thing = TracelessObject(uri)
        assert thing.create(b"mine")
        files.commit_bytes(uri, b"theirs")
        thing.remove()
        assert files.read_bytes(uri) == b"theirs"


def test_on_a_bucket_without_versions_it_is_gone_too(s3_bucket: str) -> None:
    thing = TracelessObject(f"{s3_bucket}/traceless/y")
    assert thing.create(b"1")
    thing.replace(b"2")
    thing.remove()
    assert not files.exists(f"{s3_bucket}/traceless/y")


@pytest.mark.parametrize("refused", ["always", "once"])
def test_no_older_version_is_the_object_again(refused: str, versioned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client, refusals = s3_clients.client("versioned"), iter([True])
    delete_object = client.delete_object

    def refuse(**arguments: Any) -> Any:
        if "VersionId" in arguments and (refused == "always" or next(refusals, False)):
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")
        return delete_object(**arguments)

    monkeypatch.setattr(client, "delete_object", refuse)
    thing = TracelessObject(f"{versioned}/x")
    assert thing.create(b"1")
    thing.replace(b"2")
    thing.replace(b"3")
    thing.remove()
    assert not files.exists(f"{versioned}/x")
    assert len(kept_versions()) == (4 if refused == "always" else 0)  # three versions and the mark


def test_a_create_whose_answer_was_lost_is_known_by_its_content(store: Store) -> None:
    thing = TracelessObject("s3://bucket/x")
    store.faults = ["no answer"]
    assert thing.create(b"mine")
    thing.remove()
    assert not store.objects
