"""Addresses: one for every spelling, and none for two files."""

import doctest
import unicodedata
from pathlib import Path

import pytest

from pipeline.collection import addresses
from pipeline.collection.addresses import Resolver, plain
from pipeline.collection.listing import list_videos
from pipeline.storage import files
from tests.helpers.collections import fill, table_of


def test_keys_of_an_object_store_are_kept_but_for_the_dots_of_relative_addresses(s3_bucket: str) -> None:
    text = "uri\nv//a.mp4\n./v/a.mp4\nv/a.mp4\ns3://b/x/./y//z.mp4\n"
    files.commit_bytes(f"{s3_bucket}/spelt/list.csv", text.encode())
    uris = [row["uri"] for row in list_videos(f"{s3_bucket}/spelt/list.csv")]
    assert uris == [f"{s3_bucket}/spelt/v//a.mp4", f"{s3_bucket}/spelt/v/a.mp4", "s3://b/x/./y//z.mp4"]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_composed_and_decomposed_names_meet_on_the_disk(on_disk: str, in_table: str, tmp_path: Path) -> None:
    name = "Café/Ünï.mp4"
    fill(tmp_path, [unicodedata.normalize(on_disk, name)])
    spelt = unicodedata.normalize(in_table, name)
    rows = list(list_videos(table_of(tmp_path, f"uri\n{spelt}\n{unicodedata.normalize(on_disk, name)}\n")))
    assert [row["uri"] for row in rows] == [f"{tmp_path}/{unicodedata.normalize(on_disk, name)}"]


def test_names_that_both_lie_on_the_disk_stay_two_videos_and_one_that_lies_nowhere_stays_as_it_is(
    tmp_path: Path,
) -> None:
    both = [unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD")]
    fill(tmp_path, both)
    rows = list(list_videos(table_of(tmp_path, "uri\n" + "\n".join([*both, "gone/ö.mp4"]))))
    assert [row["uri"] for row in rows] == [f"{tmp_path}/{name}" for name in [*both, "gone/ö.mp4"]]


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("./a.mp4", "a.mp4"),
        ("v/.//a.mp4", "v/a.mp4"),
        ("file:///v/a%20b.mp4", "/v/a b.mp4"),
        ("file:///caf%E9.mp4", "file:///caf%E9.mp4"),
        ("/v//./a.mp4", "/v/a.mp4"),
        ("s3://bucket/./v//a%20b.mp4", "s3://bucket/./v//a%20b.mp4"),
    ],
)
def test_a_plain_address_has_no_dots_double_slashes_and_escapes(spelling: str, expected: str) -> None:
    assert plain(spelling) == expected


def test_links_of_folders_are_followed_and_those_that_are_videos_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "real", ["a.mp4"])
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "b.mp4").symlink_to("a.mp4")
    resolve = Resolver(str(tmp_path))
    assert resolve("link/a.mp4") == resolve(f"{tmp_path}/x/../link//a.mp4") == f"{tmp_path}/real/a.mp4"
    assert resolve("link/b.mp4") == f"{tmp_path}/real/b.mp4"
    assert resolve.relative(f"{tmp_path}/real/a.mp4") == "real/a.mp4"
    assert resolve.relative("/else/where.mp4") == "/else/where.mp4"


def test_examples_in_docstrings_run() -> None:
    assert doctest.testmod(addresses).failed == 0
    assert doctest.testmod(addresses).attempted > 0
