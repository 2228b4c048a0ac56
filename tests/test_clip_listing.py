"""The listing: kept clips alone, of a selection those that it keeps, part by part."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError, DataError
from pipeline.outside.clip_listing import LISTING, list_clips
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.selections import SELECTIONS
from schemas.videos import VIDEOS


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two parts of a video with three clips, the second of which is silent; the last comes first in the tar."""
    made = Workspace(str(tmp_path / "root"))
    for part in ("00000", "00001"):
        video = {
            "video_id": part,
            "uri": f"s3://b/{part}.mp4",
            "part": part,
            "rights": "unknown",
            "num_clips": 3,
            "outcome": "kept",
        }
        clips = [
            {"clip_id": f"{part}_{place}", "video_id": part, "start_s": 0.1 * place, "part": part}
            | {"duration_s": 0.2, "num_frames": 5, "outcome": "silent" if place == 1 else "kept"}
            | {"tar_offset": 512 * (2 - place), "tar_bytes": 512}
            for place in range(3)
        ]
        made.commit("clips/base", part, from_rows(clips, CLIPS, part), CLIPS)
        made.commit("videos/base", part, from_rows([video], VIDEOS, part), VIDEOS)
    return made


def select(workspace: Workspace, part: str, kept: str) -> None:
    rows = [
        {"clip_id": f"{part}_{place}", "video_id": part, "part": part, "kept": f"{part}_{place}" == kept}
        | {"reason": "kept", "split": "train"}
        for place in range(3)
    ]
    workspace.commit("selections/top", part, from_rows(rows, SELECTIONS, part), SELECTIONS)


def test_kept_clips_come_part_by_part_in_the_order_of_their_tars(workspace: Workspace) -> None:
    parts = dict(list_clips(workspace, "base"))
    assert {part: table["clip_id"].to_pylist() for part, table in parts.items()} == {
        "00000": ["00000_2", "00000_0"],
        "00001": ["00001_2", "00001_0"],
    }
    assert parts["00001"].schema == LISTING
    assert parts["00001"].to_pylist()[0] == {
        "clip_id": "00001_2",
        "video_id": "00001",
        "uri": "s3://b/00001.mp4",
        "tar": workspace.tar_uri("clips/base", "00001"),
        "key": "00001_2",
        "tar_offset": 0,
        "tar_bytes": 512,
        "start_s": 0.2,
        "end_s": 0.4,  # 0.2 + 0.2, and 0.1 + 0.2 would be 0.30000000000000004
    }


def test_a_selection_lists_what_it_keeps_and_must_have_decided_on_every_part(workspace: Workspace) -> None:
    select(workspace, "00000", "00000_2")
    with pytest.raises(ConfigError, match="selection top: part 00001 was cut after it was made"):
        list(list_clips(workspace, "base", "top"))
    select(workspace, "00001", "")
    found = {part: table["clip_id"].to_pylist() for part, table in list_clips(workspace, "base", "top")}
    assert found == {"00000": ["00000_2"], "00001": []}
    with pytest.raises(ConfigError, match="selections are of clips/base"):
        list(list_clips(workspace, "events", "top"))


def test_a_part_whose_videos_are_others_is_named(workspace: Workspace) -> None:
    row = {"video_id": "x", "uri": "x", "part": "00001", "rights": "unknown", "num_clips": 0, "outcome": "kept"}
    workspace.commit("videos/base", "00001", from_rows([row], VIDEOS, "x"), VIDEOS)
    with pytest.raises(DataError, match=r"videos/spec=base/00001\.parquet: lacks a video"):
        list(list_clips(workspace, "base"))
