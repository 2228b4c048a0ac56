"""Clip sets: all kept clips of a split, or what a selection and people's labels say of them."""

import pyarrow as pa
import pytest
from conftest import World

from pipeline.clip_specs import ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import count_videos, load_clips, load_splits
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.videos import VIDEOS
from tests.helpers.clips import load_split
from tests.helpers.selections import decide


def reject(workspace: Workspace, part: str, clip_id: str) -> None:
    """Make it so that a clip was not cut."""
    rows = workspace.read(CLIPS_FOLDER, part, CLIPS).to_pylist()
    for row in rows:
        if row["clip_id"] == clip_id:
            row |= {"outcome": "silent", "tar_offset": None, "tar_bytes": None}
    workspace.commit(CLIPS_FOLDER, part, from_rows(rows, CLIPS, part), CLIPS)


@pytest.mark.parametrize("split", ["train", "validate", "test"])
def test_a_split_holds_the_kept_clips_of_its_videos_and_no_others(split: str, world: World) -> None:
    clips = load_split(world.workspace, split, SplittingConfig())
    assert sorted(set(clips.rows["video_id"].to_pylist())) == sorted(world.video_ids[split])
    assert len(clips) == 4 * len(world.video_ids[split])


def test_clips_of_another_spec_are_drawn_by_its_name(workspace: Workspace) -> None:
    spec = ClipSpec(clip_s=4.0, hop_s=4.0, frame_height=16, frame_width=16)
    ShardPart(workspace, {"events": spec}, ShardingConfig())("00000")
    (clips,) = load_splits(workspace, ("train",), SplittingConfig(), ["00000"], "events")
    base = load_splits(workspace, ("train",), SplittingConfig(), ["00000"])[0]
    assert len(clips) == clips.num_videos == base.num_videos  # one of 4 s in 5 s
    assert all(name.endswith("_events") for name in clips.rows["clip_id"].to_pylist())
    assert clips.read(0).frames.shape == (4, 3, 16, 16)
    assert count_videos(workspace, "train", None, SplittingConfig(), ["00000"], "events", 99) == clips.num_videos


def test_a_clip_that_was_not_cut_is_in_no_set(workspace: Workspace) -> None:
    before = load_split(workspace, "train", SplittingConfig())
    row = before.rows.slice(5, 1).to_pylist()[0]
    reject(workspace, row["part"], row["clip_id"])
    after = load_split(workspace, "train", SplittingConfig())
    assert set(before.rows["clip_id"].to_pylist()) - set(after.rows["clip_id"].to_pylist()) == {row["clip_id"]}


def test_videos_whose_owners_refuse_training_are_in_no_set_and_are_not_counted(workspace: Workspace) -> None:
    splitting, parts = SplittingConfig(), workspace.parts(VIDEOS_FOLDER)
    refused = load_split(workspace, "train", splitting).rows["video_id"][0].as_py()
    before = {split: load_split(workspace, split, splitting).num_videos for split in ("train", "validate", "test")}
    for part in parts:
        rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()
        rows = [row | {"rights": "no_train" if row["video_id"] == refused else "train"} for row in rows]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
    after = {split: load_split(workspace, split, splitting) for split in before}
    assert {split: clips.num_videos for split, clips in after.items()} == before | {"train": before["train"] - 1}
    assert all(refused not in clips.rows["video_id"].to_pylist() for clips in after.values())
    assert count_videos(workspace, "train", None, splitting, parts, "base", 99) == before["train"] - 1


def test_a_split_without_videos_is_an_empty_set(workspace: Workspace) -> None:
    for part in workspace.parts(VIDEOS_FOLDER):
        rows = [row | {"split": "train"} for row in workspace.read(VIDEOS_FOLDER, part, VIDEOS).to_pylist()]
        workspace.commit(VIDEOS_FOLDER, part, from_rows(rows, VIDEOS, part), VIDEOS)
    assert load_split(workspace, "test", SplittingConfig()).num_videos == 0
    assert load_split(workspace, "train", SplittingConfig()).num_videos == 12


def test_a_selection_gives_its_kept_and_its_labelled_clips_of_one_split(workspace: Workspace, world: World) -> None:
    decided = decide(workspace, "s")
    clips = load_clips(workspace, "s", "test", labelled=True)
    found = {row["clip_id"]: row for row in clips.rows.to_pylist()}
    expected = {k for k, row in decided.items() if row["split"] == "test" and (row["kept"] or row["label"])}
    assert found.keys() == expected
    assert len(found) == 3 * len(world.video_ids["test"])
    assert all((row["kept"], row["label"]) == (decided[k]["kept"], decided[k]["label"]) for k, row in found.items())
    assert clips.read(0).key == clips.clip_id(0)
    assert pa.types.is_boolean(clips.rows.schema.field("kept").type)
    alone = load_clips(workspace, "s", "test", labelled=False).rows["clip_id"].to_pylist()
    assert set(alone) == {k for k, row in decided.items() if row["split"] == "test" and row["kept"]}


def test_a_selected_clip_that_is_no_longer_cut_is_left_out(workspace: Workspace) -> None:
    decide(workspace, "s")
    row = load_clips(workspace, "s", "test", labelled=True).rows.slice(0, 1).to_pylist()[0]
    reject(workspace, row["part"], row["clip_id"])
    assert row["clip_id"] not in load_clips(workspace, "s", "test", labelled=True).rows["clip_id"].to_pylist()


def test_a_selection_or_clips_that_are_not_there_are_named_with_their_folder(tmp_path: object) -> None:
    empty = Workspace(str(tmp_path))
    with pytest.raises(ConfigError, match="/clips/base: nothing there yet"):
        load_split(empty, "train", SplittingConfig())
    with pytest.raises(ConfigError, match="/selection=s: "):
        load_clips(empty, "s", "train", labelled=True)


def test_videos_of_a_split_are_counted_up_to_what_is_enough(world: World, workspace: Workspace) -> None:
    parts, splitting = workspace.parts(CLIPS_FOLDER), SplittingConfig()
    counts = [
        count_videos(workspace, split, None, splitting, parts, "base", 4) for split in ("train", "validate", "test")
    ]
    assert counts == [4, 3, 4]
    decide(workspace, "s")
    assert count_videos(workspace, "validate", "s", splitting, parts, "base", 9) == 3
