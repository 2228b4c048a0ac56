"""Several clip specs cut from one decoding: the bytes of each alone."""

import collections
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import soundfile
import webdataset
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.video_cutting import VideoCutting
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.videos import VIDEOS
from tests.helpers.cutting import EXACT, LAVFI, SMALL, SPECS, files_of, picture, sound, span_of, sparse, steady


def folders(name: str) -> tuple[str, str]:
    return (CLIPS_FOLDER, VIDEOS_FOLDER) if name == BASE else (f"clips/{name}", f"videos/{name}")


@pytest.fixture
def several(make_media: MakeMedia, tmp_path: Path) -> Callable[..., Workspace]:
    """several(specs, ...) -> a workspace in which the same part is cut by each of the groups of specs, in turn."""
    busy = make_media("busier.mkv", *LAVFI, "testsrc=s=64x48:r=20:d=8", *sound(8), *EXACT, "-g", "10").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(busy[: len(busy) * 6 // 10])
    late = make_media("late_sound.mkv", *picture(5), "-itsoffset", "1.3", *sound(4), *EXACT, "-bf", "2")
    steady_s = [steady(make_media, duration_s) for duration_s in (9.0, 1.5)]
    rows = [
        *(f"{path},," for path in (*steady_s, tmp_path / "cut.mkv", late, tmp_path / "gone.mkv", sparse(make_media)))
    ]
    rows += [f"{steady(make_media, 5.0)},{span}" for span in ("0.25,2.5", "1,4.3")]
    (tmp_path / "list.csv").write_text("\n".join(["uri,start_s,end_s", *rows]) + "\n")
    made: list[int] = []

    def run(*groups: list[str]) -> Workspace:
        made.append(1)
        workspace = Workspace(str(tmp_path / f"several_{len(made)}"))
        plan_parts(workspace, list_videos(str(tmp_path / "list.csv")), CollectingConfig())
        for names in groups:
            ShardPart(workspace, {name: SPECS[name] for name in names}, ShardingConfig())("00000")
        return workspace

    return run


def test_a_specs_bytes_are_the_same_alone_together_and_later(several: Callable[..., Workspace]) -> None:
    alone = files_of(several(*([name] for name in SPECS)))
    assert alone == files_of(several(list(SPECS)))
    assert alone == files_of(several(["events"], ["low", "base"], ["speech", "segmentation"]))
    assert len(alone) == 1 + 3 * len(SPECS)  # the collection's part, and of each spec a tar and two tables


@pytest.mark.parametrize(
    "groups", [[["base", "events", "speech"]], [["speech"], ["events"], ["base"]]], ids=["together", "later"]
)
def test_a_workspace_in_a_bucket_holds_the_same_bytes(
    groups: list[list[str]], make_media: MakeMedia, s3_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(f"uri\n{steady(make_media, 5.0)}\n{tmp_path}/gone.mkv\n")
    local, remote = Workspace(str(tmp_path / "local")), Workspace(f"{s3_bucket}/{tmp_path.name}")
    for workspace, of_workspace in ((local, [["base", "events", "speech"]]), (remote, groups)):
        plan_parts(workspace, list_videos(str(tmp_path / "list.csv")), CollectingConfig())
        for names in of_workspace:  # base and events share a decoding, speech has its own
            ShardPart(workspace, {name: SPECS[name] for name in names}, ShardingConfig())("00000")
    found = files_of(remote)
    assert found == files_of(local)
    assert len(found) == 1 + 3 * 3  # the collection's part, and of each spec a tar and two tables


def test_each_spec_has_its_own_clips_frames_and_outcomes(several: Callable[..., Workspace]) -> None:
    workspace = several(list(SPECS))
    outcomes = {}
    for name, spec in SPECS.items():
        clips_folder, videos_folder = folders(name)
        clips = workspace.read(clips_folder, "00000", CLIPS).to_pylist()
        videos = workspace.read(videos_folder, "00000", VIDEOS).to_pylist()
        first = [clip for clip in clips if clip["video_id"] == videos[0]["video_id"]]
        assert [clip["start_s"] for clip in first] == [*np.arange(0, 9 - spec.clip_s + 0.05, spec.hop_s)]
        suffix = "" if name == BASE else f"_{name}"
        assert all(clip["clip_id"] == f"{clip['video_id']}_{clip['start_s'] * 1000:08.0f}{suffix}" for clip in clips)
        tar = workspace.tar_uri(clips_folder, "00000")
        samples = {found["__key__"]: found for found in webdataset.WebDataset(tar, shardshuffle=False)}
        for clip in first:
            sample = samples[clip["clip_id"]]
            times_s = json.loads(sample["json"])["frame_times_s"]
            ticks = clip["start_s"] + spec.frame_offset_s + np.arange(spec.num_frames) / spec.frame_rate_hz
            np.testing.assert_allclose(times_s, ticks, atol=0.06)  # a picture every 50 ms
            for k, time_s in enumerate(times_s):
                pixels = simplejpeg.decode_jpeg(sample[f"{k}.jpg"], colorspace="RGB")
                assert pixels.shape == (spec.frame_height, spec.frame_width, 3)
                assert pixels.mean() * 219 / 255 / 20 == pytest.approx(time_s, abs=0.12)
            waveform, rate_hz = soundfile.read(io.BytesIO(sample["flac"]))
            assert (len(waveform), rate_hz) == (spec.num_samples, spec.sample_rate_hz)
        assert [video["num_clips"] for video in videos] == [
            sum(clip["video_id"] == video["video_id"] for clip in clips) for video in videos
        ]
        outcomes[name] = [video["outcome"] for video in videos]
    assert outcomes["base"][:2] == ["kept", "too_short"]
    assert outcomes["speech"][:2] == ["kept", "kept"]  # 1.5 s are too short for 2 s, and enough for 1 s
    assert {tuple(of_spec[4:5]) for of_spec in outcomes.values()} == {("missing",)}


def test_all_specs_share_one_decoding(make_media: MakeMedia) -> None:
    """Each has three pipes, and ffmpeg may open so many files and no more."""
    path = steady(make_media, 9.0)
    specs = {str(number): ClipSpec(clip_s=2.0, hop_s=1.0 + number, **SMALL) for number in range(8)}
    cutting = VideoCutting(span_of(path, 0.0, 9.0), specs, ShardingConfig())
    found = collections.Counter(item.spec for item in cutting if isinstance(item, CutClip) and item.members)
    assert found == {str(number): 1 + int(7 / (1 + number)) for number in range(8)}


def test_a_frame_offset_of_a_whole_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"frame_offset_s = 0\.25: expected less than 0\.25 s"):
        ClipSpec(frame_rate_hz=4.0, frame_offset_s=0.25)
