"""Files from outside that are seldom as they should be: each ends as one row, and what is kept sounds as ffmpeg alone
decodes it. The folder of cases, beside that of media, holds made ones that were once cut wrongly."""

import io
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import soundfile
import webdataset

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.video_cutting import Restart, VideoCutting
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.media.sandbox import ffmpeg_path
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.outcomes import REJECTED
from schemas.videos import VIDEOS
from tests.helpers.cutting import listed

RATE_HZ = 16000


@pytest.fixture
def cases(shared_media: Path) -> Path:
    folder = shared_media.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases at {folder}")
    return folder


def cut(path: Path) -> tuple[list[CutClip], dict[str, Any]]:
    """The clips that count, and the video's row."""
    cutting = VideoCutting(listed(path), {BASE: ClipSpec()}, ShardingConfig())
    items = list(cutting)
    last = max((k for k, item in enumerate(items) if isinstance(item, Restart)), default=-1)
    return [item for item in items[last + 1 :] if isinstance(item, CutClip)], cutting.video_row(BASE, "00000")


@pytest.mark.parametrize(
    ("name", "num_clips", "detail"),
    [
        ("one_bad_pts_30s.mp4", 10, None),  # one picture is 30 s late; of 14 s come 1 + (14 - 5) / 1
        ("radio_and_tv.ts", 4, "streams: picture 1 h264 of 1 h264; sound 2 aac of 0 aac, 2 aac"),
        ("thumb_first.mp4", 4, "streams: picture 1 h264 of 0 mjpeg, 1 h264; sound 2 aac of 2 aac"),
    ],
)
def test_what_was_once_cut_wrongly_has_its_own_sound_and_a_picture_that_moves(
    name: str, num_clips: int, detail: str | None, cases: Path
) -> None:
    clips, video = cut(cases / name)
    assert [(clip.row["start_s"], clip.row["outcome"]) for clip in clips] == [(k, "kept") for k in range(num_clips)]
    assert (video["video_codec"], video["detail"]) == ("h264", detail)
    for clip in clips:
        assert clip.members is not None
        assert clip.row["frozen_fraction"] == 0
        waveform, _ = soundfile.read(io.BytesIO(clip.members["flac"]))
        assert np.abs(np.fft.rfft(waveform)).argmax() / 5 == 1000  # Hz, in 5 s; the radio has 440
        times_s = json.loads(clip.members["json"])["frame_times_s"]
        np.testing.assert_allclose(times_s, clip.row["start_s"] + np.arange(5), atol=0.1)
        frames = [simplejpeg.decode_jpeg(clip.members[f"{k}.jpg"], colorspace="RGB") for k in range(5)]
        assert all(a.mean() + 5 < b.mean() for a, b in itertools.pairwise(frames))  # the film grows brighter


def test_odd_files_end_as_a_row_each_and_what_is_kept_sounds_as_it_should(shared_media: Path, tmp_path: Path) -> None:
    paths = [path for path in sorted((shared_media / "odd").iterdir()) if path.is_file()]
    paths = [path for path in paths if path.stat().st_size <= 300_000]
    (tmp_path / "list.csv").write_text("\n".join(["uri", *map(str, paths)]) + "\n")
    workspace = Workspace(str(tmp_path / "workspace"))
    plan_parts(workspace, list_videos(str(tmp_path / "list.csv")), CollectingConfig())
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) == ["00000"]
    ShardPart(workspace, {BASE: ClipSpec(clip_s=1.0, frame_height=32, frame_width=32)}, ShardingConfig())("00000")
    videos = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    assert sorted(video["uri"] for video in videos) == sorted(map(str, paths))
    assert {video["outcome"] for video in videos} <= {"kept", *REJECTED}
    tar = webdataset.WebDataset(workspace.tar_uri(CLIPS_FOLDER, "00000"), shardshuffle=False)
    sounds = {sample["__key__"]: soundfile.read(io.BytesIO(sample["flac"]))[0] for sample in tar}
    uris = {video["video_id"]: video["uri"] for video in videos}
    num_kept = 0
    for video_id, clips in itertools.groupby(
        workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist(), key=lambda clip: clip["video_id"]
    ):
        first = next(clips)
        start = round(first["start_s"] * RATE_HZ)
        expected = plain_sound(uris[video_id])[start : start + RATE_HZ]
        if first["outcome"] == "kept":
            num_kept += 1
            heard = sounds[first["clip_id"]][: len(expected)]
            assert len(expected) > 0.9 * RATE_HZ
            assert np.corrcoef(heard, expected)[0, 1] > 0.99, uris[video_id]
        elif first["outcome"] == "silent":
            assert np.std(expected) < 10 ** (-60 / 20), uris[video_id]
    assert num_kept >= 5


def plain_sound(uri: str) -> np.ndarray:
    """[T] a file's first sound as ffmpeg makes it mono and 16 kHz by itself."""
    options = ("-map", "0:a:0", "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "-")
    made = subprocess.run([ffmpeg_path(), "-v", "quiet", "-i", uri, *options], stdout=subprocess.PIPE, check=False)
    return np.frombuffer(made.stdout, "<i2") / 32768
