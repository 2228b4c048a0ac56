"""Which mask a clip's frame has, and what of it a learner reads."""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import World

from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError, DataError
from pipeline.hashing import as_dict
from pipeline.masks.mask_folders import read_mask_folder
from pipeline.masks.mask_labeling import MasksPart
from pipeline.masks.mask_parts import Mask, write_masks
from pipeline.masks.masked_clips import load_masked, match_masks
from pipeline.storage import files
from pipeline.storage.layout import MASKS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.masks import MASKS, MaskRow
from schemas.videos import SPLITS
from tests.helpers.masks import FOLDER, SPEC, write_masked_part, write_masked_world

SPLITTING = SplittingConfig()


def row(time_s: float, category: str | None = None) -> MaskRow:
    return {
        "video_id": "v", "time_s": time_s, "category": category, "outcome": "kept", "tar_offset": 0, "tar_bytes": 512,
        "height": 4, "width": 4, "area": 1, "source": f"v/{time_s}.png", "detail": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("masks_s", "rate_hz", "expected"),
    [
        ([0.5, 1.5], 10.0, {0: 0.5, 1: 1.5}),
        ([0.55], 10.0, {0: 0.55}),  # half of a tenth of a second
        ([0.56], 10.0, {}),
        ([0.467, 1.533], 15.0, {0: 0.467, 1: 1.533}),
        ([0.45, 1.55], 15.0, {}),
        ([0.48, 0.51], 25.0, {0: 0.51}),  # the nearer one
        ([0.49, 0.51], 25.0, {0: 0.49}),  # as near: the first
        ([0.52], None, {0: 0.52}),
        ([0.53], None, {}),
        ([1.4], 2.0, {1: 1.4}),
        ([], 10.0, {}),
    ],
)
def test_a_frame_has_the_nearest_mask_within_half_a_frame_of_the_video(
    masks_s: list[float], rate_hz: float | None, expected: dict[int, float]
) -> None:
    for rows in ([row(time_s) for time_s in masks_s], [row(time_s) for time_s in reversed(masks_s)]):
        found = match_masks([0.5, 1.5], rows, rate_hz)
        assert {frame: mask["time_s"] for frame, mask in found} == expected


def test_the_mask_of_all_that_sounds_counts_and_without_it_those_of_all_categories() -> None:
    rows = [row(0.5, "dog"), row(0.5), row(1.5, "cat"), row(1.5, "dog")]
    found = match_masks([0.5, 1.5], rows, 10.0)
    assert [(frame, mask["category"]) for frame, mask in found] == [(0, None), (1, "cat"), (1, "dog")]


def test_clips_come_with_the_masks_of_their_frames_and_none_for_the_others(workspace: Workspace) -> None:
    write_masked_world(workspace)
    parts = workspace.parts(MASKS_FOLDER)
    sets = load_masked(workspace, SPLITS, SPLITTING, parts, "segmentation")
    assert sum(map(len, sets)) == 12
    num_masks = []
    for clip in (clip for clips in sets for clip in clips.read_many(range(len(clips)))):
        assert clip.frames.shape == (3, 3, 32, 32)
        assert clip.waveform.shape == (3 * 16000,)
        assert (clip.masks.shape, clip.masks.dtype) == ((3, 32, 32), bool)
        num_masks.append(int(clip.mask_valid.sum()))
        for frame, is_valid in enumerate(clip.mask_valid):
            bright = clip.frames[frame].min(axis=0) > 180  # the square
            if not is_valid or abs(clip.waveform).max() < 0.1:
                assert not clip.masks[frame].any()
            else:
                assert (bright == clip.masks[frame]).mean() > 0.95
        assert clip.size_bytes == clip.frames.nbytes + clip.waveform.nbytes + 3 * 32 * 32 + 3
    assert sorted(num_masks) == [1] * 4 + [3] * 8


def test_clips_without_a_mask_of_a_frame_are_left_out(workspace: Workspace) -> None:
    write_masked_world(workspace)
    part = workspace.parts(MASKS_FOLDER)[0]
    rows = workspace.read(MASKS_FOLDER, part, MASKS).to_pylist()
    first, second = dict.fromkeys(row["video_id"] for row in rows[:4])
    pixels = np.ones((8, 8), bool)
    masks = [
        Mask(video_id=first, time_s=0.5, source="a", outcome="unreadable", detail="x"),
        Mask(video_id=first, time_s=1.25, source="b", pixels=pixels),  # of no frame: those are at 0.5, 1.5 and 2.5 s
        Mask(video_id=second, time_s=2.5, source="c", pixels=pixels),
    ]
    write_masks(workspace, part, masks)
    files.delete(workspace.part_uri(MASKS_FOLDER, workspace.parts(MASKS_FOLDER)[1]))  # not labelled yet
    sets = load_masked(workspace, SPLITS, SPLITTING, ["00000", "00001"], "segmentation")
    found = [clip for clips in sets for clip in clips.read_many(range(len(clips)))]
    assert [(clip.facts["video_id"], clip.mask_valid.tolist()) for clip in found] == [(second, [False, False, True])]
    assert found[0].masks[2].all()


def test_masks_of_another_size_get_that_of_the_frame_and_those_of_categories_are_joined(workspace: Workspace) -> None:
    write_masked_world(workspace)
    video = workspace.read(MASKS_FOLDER, "00000", MASKS)["video_id"][0].as_py()
    left, top = np.zeros((2, 9, 16), bool)
    left[:, :4], top[:3] = True, True
    masks = [
        Mask(video_id=video, time_s=1.5, source="s", category=name, pixels=pixels)
        for name, pixels in (("dog", left), ("cat", top), ("owl", np.zeros((9, 16), bool)))
    ]
    write_masks(workspace, "00000", masks)
    sets = load_masked(workspace, SPLITS, SPLITTING, ["00000"], "segmentation")
    (clip,) = [clip for clips in sets for clip in clips.read_many(range(len(clips)))]
    assert [row["categories"] for clips in sets for row in clips.rows.to_pylist()] == [["cat", "dog"]]
    row, column = np.mgrid[:32, :32] + 0.5
    np.testing.assert_array_equal(clip.masks[1], (column * 16 / 32 < 4) | (row * 9 / 32 < 3))


def test_frames_with_bars_are_refused(workspace: Workspace) -> None:
    write_masked_part(workspace, "00000")
    padded = as_dict(dataclasses.replace(SPEC, fit="pad"))
    workspace.begin(FOLDER, {"clips": {"segmentation": padded}}, {})
    with pytest.raises(ConfigError, match=r"clips.segmentation.fit = pad: expected stretch"):
        load_masked(workspace, SPLITS, SPLITTING, ["00000"], "segmentation")


def test_a_damaged_tar_of_masks_is_named_with_what_to_delete(workspace: Workspace) -> None:
    write_masked_world(workspace)
    uri = workspace.tar_uri(MASKS_FOLDER, "00000")
    whole = files.read_bytes(uri)
    clips = next(c for c in load_masked(workspace, SPLITS, SPLITTING, ["00000"], "segmentation") if len(c))
    for damaged in (whole[:600], whole.replace(b"IDAT", b"IDIT"), bytes(len(whole))):
        files.commit_bytes(uri, damaged)
        with pytest.raises(DataError, match=r"masks/00000.tar") as caught:
            clips.read(0)
        if len(damaged) == len(whole):
            assert f"Delete {workspace.part_uri(MASKS_FOLDER, '00000')}" in str(caught.value)


def test_the_worlds_masks_are_of_the_frames_that_its_clips_show(workspace: Workspace, world: World) -> None:
    spec = dataclasses.replace(SPEC, clip_s=2.0, hop_s=2.0)
    ShardPart(workspace, {"segmentation": spec}, ShardingConfig())("00000")
    MasksPart(workspace, read_mask_folder(str(world.folder / "masks")))("00000")
    rows = workspace.read(MASKS_FOLDER, "00000", MASKS).to_pylist()
    assert {row["outcome"] for row in rows} == {"kept"}
    sets = load_masked(workspace, SPLITS, SPLITTING, ["00000"], "segmentation")
    found = [clip for clips in sets for clip in clips.read_many(range(len(clips)))]
    assert len(found) == 2 * 6
    for clip in found:
        assert clip.mask_valid.all()
        of_video = [row for row in rows if row["video_id"] == clip.facts["video_id"]]
        for frame, row in match_masks(clip.facts["frame_times_s"], of_video, None):
            assert row["time_s"] == pytest.approx(clip.facts["frame_times_s"][frame], abs=0.0011)  # names are in ms
            assert row["category"] is None
            assert clip.masks[frame].any() == (row["area"] > 0)


def test_rows_are_the_same_whatever_is_drawn_from_them(workspace: Workspace) -> None:
    write_masked_world(workspace)
    parts = workspace.parts(MASKS_FOLDER)
    (train,) = load_masked(workspace, ("train",), SPLITTING, parts, "segmentation")
    assert train.rows.equals(load_masked(workspace, SPLITS, SPLITTING, parts, "segmentation")[0].rows)
    assert not pc.any(pc.equal(pc.list_value_length(train.rows["masks"]), 0)).as_py()
