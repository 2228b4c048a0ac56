"""Copies: videos of one address or of the same bytes, found while parts come; groups of all that selections found."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.clips import copies
from pipeline.clips.copies import Copy, CopyFinder, duplicate_groups, find_copies
from pipeline.clips.cut_videos import cut_specs
from pipeline.storage.layout import VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.fields import from_rows
from tests.helpers.cut_videos import write_videos


def names(groups: list[list[Copy]]) -> list[list[str]]:
    return [[copy.video_id for copy in group] for group in groups]


def test_videos_of_one_address_or_of_the_same_bytes_are_copies_of_each_other(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    write_videos(workspace, "00000", ("a", "test", "x", "/a"), ("b", "validate", "x", "/b"), ("c", "test", "y", "/c"))
    write_videos(workspace, "00001", ("d", "train", "x", "/d"), ("e", "train", None, "/c"), ("f", "train", "y", "/f"))
    write_videos(workspace, "00002", ("g", "train", None, "/g"), ("h", "test", None, "/h"))  # unread: no copies
    found = find_copies(workspace, workspace.parts(VIDEOS_FOLDER))
    assert names(found) == [["a", "b", "d"], ["c", "e", "f"]]  # c and e by address, c and f by bytes
    assert names(find_copies(workspace, ["00000"])) == [["a", "b"]]
    assert duplicate_groups(workspace) == dict.fromkeys("abd", "a") | dict.fromkeys("cef", "c")


def test_while_parts_come_each_is_read_once_and_again_only_where_it_may_hold_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, read, parts = Workspace(str(tmp_path)), Workspace.read, list[str]()

    def counted(self: Workspace, partition: str, part: str, *rest: Any) -> pa.Table:
        parts.append(part)
        return read(self, partition, part, *rest)

    monkeypatch.setattr(Workspace, "read", counted)
    write_videos(workspace, "00000", ("a", None, "x", "/a"))
    write_videos(workspace, "00001", ("b", None, "y", "/b"))
    finder = CopyFinder(workspace)
    assert finder.find(cut_specs(workspace)) == []
    assert sorted(parts) == ["00000", "00001"]
    write_videos(workspace, "00002", ("c", None, "y", "/c"), ("d", None, "z", "/d"))
    parts.clear()
    assert names(finder.find(cut_specs(workspace))) == [["b", "c"]]
    assert sorted(parts) == ["00001", "00002", "00002"]
    write_videos(workspace, "00000", ("a", None, "z", "/a"), folder="videos/events")
    write_videos(workspace, "00000", ("a", None, "z", "/a"))
    assert names(finder.find(cut_specs(workspace))) == [["a", "d"], ["b", "c"]]  # cut by another spec since


def test_to_look_for_one_video_among_many_keys_takes_no_memory_that_grows_with_their_number() -> None:
    row = Copy("a", "00000", None, ("/a", "x"))
    others = np.arange(100_000, dtype=np.uint64)
    repeated = np.concatenate([others, copies._key_numbers([row])[1:]])
    tracemalloc.start()
    found, missed = copies._with_keys([row], repeated), copies._with_keys([row], others)
    size_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found, missed) == ([row], [])
    assert size_bytes < repeated.nbytes / 50  # four times their own bytes where all are sorted anew


def test_groups_are_what_links_of_all_selections_join(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    assert duplicate_groups(workspace) == {}
    for folder, part, pairs in (
        ("s", "00000", {"b": "b", "f": "b"}),
        ("s", "00001", {"k": "h"}),  # h was alone when its part was decided: it has no row
        ("t", "00000", {"d": "a", "f": "a"}),  # to t, f is a's
    ):
        facts = {
            "split": "train",
            "can_represent": False,
            "linked_video_ids": [],
            "like_video_id": "x",
            "shared_fraction": 1.0,
        }
        rows = [facts | {"video_id": video, "group_id": group} for video, group in pairs.items()]
        workspace.commit(f"duplicates/{folder}", part, from_rows(rows, DUPLICATES, part), DUPLICATES)
    assert duplicate_groups(workspace) == dict.fromkeys("abdf", "a") | dict.fromkeys("hk", "h")
