"""Tombstones: what was taken down stays away, whatever it is called, and a takedown that was stopped shows."""

import shutil
from pathlib import Path

import pytest
from conftest import World

from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.storage.layout import COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.locking import claim
from pipeline.storage.tombstones import TakenDown, check_finished, taken_down, write_tombstone
from pipeline.storage.workspace import Workspace
from pipeline.takedown.taking_down import alone
from schemas.videos import COLLECTION, VIDEOS

BURIED = {"video_id": "a-1", "uri": "/v/a.mp4", "content_hash": None}


def tombstone(*videos: dict[str, str | None], **more: str) -> dict[str, object]:
    return {"reason": "asked to", "begun": "2026-11-30T00:00:00+00:00", "videos": list(videos)} | more


def test_all_tombstones_together_say_who_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    assert taken_down(workspace) == TakenDown()
    write_tombstone(workspace, "00000", tombstone(BURIED))
    write_tombstone(workspace, "00001", tombstone({"video_id": "b", "uri": "/v/b.mp4", "content_hash": "00ff"}))
    found = taken_down(workspace)
    assert found.content_hashes == {"00ff"}
    assert [found.has(*names) for names in (("a-1", "x"), ("x", "/v/b.mp4"), ("x", "x"))] == [True, True, False]


def test_a_takedown_that_has_not_ended_is_said(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    write_tombstone(workspace, "00000", tombstone(BURIED, finished="2026-11-30T00:00:01+00:00"))
    check_finished(workspace)
    write_tombstone(workspace, "00001", tombstone(BURIED))
    with pytest.raises(ConfigError, match=r"00001\.json: a takedown of 1 videos began at .* has not ended"):
        check_finished(workspace)


def test_nothing_begins_while_a_takedown_is_at_work(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    with alone(workspace), pytest.raises(ConfigError, match="takes videos down since"):
        check_finished(workspace)
    check_finished(workspace)


def test_a_takedown_refuses_while_a_stage_begins_that_has_no_record_yet(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    with claim(workspace, "selections/new"), pytest.raises(ConfigError, match=r"selection=new: .* is at work"):
        alone(workspace).__enter__()
    with alone(workspace):
        pass


@pytest.mark.parametrize("column", ["video_id", "uri"])
def test_a_listing_leaves_out_what_was_taken_down(tmp_path: Path, column: str) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(b"x")
    listed = list(list_videos(str(tmp_path / "videos")))
    workspace = Workspace(str(tmp_path / "root"))
    write_tombstone(workspace, "00000", tombstone(BURIED | {column: listed[0][column]}))  # type: ignore[literal-required]
    planned = plan_parts(workspace, listed, CollectingConfig())
    assert (planned.num_new, planned.num_taken_down) == (1, 1)
    rows = workspace.read(COLLECTION_FOLDER, "00000", COLLECTION).to_pylist()
    assert [row["uri"] for row in rows] == [listed[1]["uri"]]


def test_a_copy_under_another_name_becomes_a_row_with_a_reason(world: World, tmp_path: Path) -> None:
    source = next(iter(list_videos(world.collection)))
    (tmp_path / "videos").mkdir()
    shutil.copy(source["uri"], tmp_path / "videos" / "new_name.mp4")
    (row,) = [
        found
        for part in world.workspace.parts(VIDEOS_FOLDER)
        for found in world.workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        if found["uri"] == source["uri"]
    ]
    workspace = Workspace(str(tmp_path / "root"))
    write_tombstone(workspace, "00000", tombstone(BURIED | {"content_hash": row["content_hash"]}))
    plan_parts(workspace, list_videos(str(tmp_path / "videos")), CollectingConfig())
    ShardPart(workspace, {"base": world.spec}, ShardingConfig())("00000")
    (found,) = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    assert found["outcome"] == "taken_down"
    assert found["detail"] == "its bytes are those of a video that was taken down"
