"""How many clips a video gives, at which starts, and of which spans of it."""

import collections
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig, SpecCutting
from pipeline.clips.pictures import WholePictures
from pipeline.clips.video_cutting import VideoCutting
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.streams import Frame
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER
from schemas.clips import CLIPS
from schemas.videos import COLLECTION
from tests.helpers.cutting import (
    RATE_HZ,
    SPEC,
    Cut,
    assert_shows_its_time,
    span_of,
    steady,
)


@pytest.mark.parametrize(
    ("duration_s", "num_clips"), [(1.5, 0), (1.85, 0), (1.95, 1), (2.0, 1), (2.85, 1), (2.95, 2), (3.0, 2), (5.0, 4)]
)
def test_there_is_a_clip_for_every_hop_whose_end_lies_within_the_video(
    duration_s: float, num_clips: int, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    result = cut(steady(make_media, duration_s))
    assert [clip["start_s"] for clip in result.clips] == [float(i) for i in range(num_clips)]
    assert result.outcomes == ["kept"] * num_clips
    (video,) = result.videos
    assert (video["outcome"], video["num_clips"]) == ("kept" if num_clips else "too_short", num_clips)
    assert video["duration_s"] == pytest.approx(duration_s, abs=0.05)
    assert result.counts.get("clips kept", 0) == num_clips
    assert result.counts["video_s"] == video["duration_s"]


def test_what_is_missing_of_the_last_clip_is_silence(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 1.95))
    (sample,) = result.samples().values()
    waveform, _ = soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")
    assert len(waveform) == 2 * RATE_HZ
    assert not waveform[round(1.95 * RATE_HZ) :].any()
    assert waveform[round(1.9 * RATE_HZ) : round(1.95 * RATE_HZ)].any()


@pytest.mark.parametrize(("clip_s", "hop_s"), [(2.0, 2.0), (1.0, 3.0), (3.0, 1.0), (2.5, 0.5)])
def test_any_length_and_hop_give_floor_of_rest_over_hop_plus_one(
    clip_s: float, hop_s: float, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    spec = ClipSpec(clip_s=clip_s, hop_s=hop_s, frame_rate_hz=2, frame_height=32, frame_width=32)
    result = cut(steady(make_media, 6.0), spec=spec)
    assert len(result.clips) == int((6.0 - clip_s) / hop_s) + 1
    assert {clip["num_frames"] for clip in result.clips} == {clip_s * 2}


@pytest.mark.parametrize(
    ("span", "starts"),
    [("3,7", [3, 4, 5]), ("2.5,6.2", [2.5, 3.5]), ("0,4", [0, 1, 2]), (",3.95", [0, 1, 2]), ("6,", [6, 7])],
)
def test_a_span_that_the_collection_prescribes_limits_the_clips(
    span: str, starts: list[int], make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    result = cut(steady(make_media, 9.0), columns="start_s,end_s", values=span)
    assert [clip["start_s"] for clip in result.clips] == starts
    end_s = span.partition(",")[2]
    assert result.videos[0]["duration_s"] == pytest.approx(float(end_s) if end_s else 9.0, abs=0.06)
    for key, sample in result.samples().items():
        facts = json.loads(sample["json"])
        assert key.endswith(f"_{round(facts['start_s'] * 1000):08d}")
        assert_shows_its_time(sample, facts)


def test_what_lies_before_the_span_is_not_held_in_memory(make_media: MakeMedia) -> None:
    video = span_of(steady(make_media, 30.0), 26.0, 28.0)
    cutting = SpecCutting(video, BASE, SPEC, ShardingConfig(), WholePictures(90))
    second = np.ones(RATE_HZ, np.int16)
    for number in range(26):
        assert not [*cutting.add(second, MediaInfo()), *cutting.add(grey(float(number)), MediaInfo())]
        assert cutting._sound.end - cutting._sound.start == 0
        assert len(cutting._frames._by_tick) <= 1
    assert [clip.row["start_s"] for clip in VideoCutting(video, {BASE: SPEC}, ShardingConfig())] == [26.0]


def grey(time_s: float) -> Frame:
    return Frame(BASE, time_s, np.full((32, 32, 3), 100, np.uint8))


def test_what_lies_after_the_span_is_not_decoded(make_media: MakeMedia, monkeypatch: pytest.MonkeyPatch) -> None:
    decodings = []

    class Watched(Decoding):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            decodings.append(self)

    monkeypatch.setattr("pipeline.clips.video_cutting.Decoding", Watched)
    cutting = VideoCutting(span_of(steady(make_media, 30.0), 0.0, 3.0), {BASE: SPEC}, ShardingConfig())
    assert [clip.row["start_s"] for clip in cutting] == [0.0, 1.0]
    assert decodings[0].num_frames < 20  # of 30; pipes hold a few


def test_every_span_of_a_list_ends_as_a_row_whatever_becomes_of_its_video(
    make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    lines = [f"{steady(make_media, 5.0)},{span}" for span in ("1.25,3.25", "0,1", "3.5,5.5", "40,42")]
    result = cut(*lines, f"{tmp_path}/gone.mp4,7,9", columns="start_s,end_s")
    rows = {(clip["video_id"][:4], clip["start_s"]): clip["outcome"] for clip in result.clips}
    assert rows == {
        ("stea", 0.0): "too_short",  # the span is shorter than a clip
        ("stea", 1.25): "kept",
        ("stea", 3.5): "too_short",  # the video ends half a second before the clip does
        ("stea", 40.0): "too_short",
        ("gone", 7.0): "missing",
    }
    assert [(video["outcome"], video["num_clips"]) for video in result.videos] == [("kept", 4), ("missing", 1)]
    (sample,) = result.samples().values()
    assert json.loads(sample["json"])["frame_times_s"] == pytest.approx([2.0, 3.0], abs=0.06)


def test_the_world_is_cut_into_four_clips_per_video(world: Any) -> None:
    clips = world.workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()
    assert collections.Counter(clip["video_id"] for clip in clips) == {
        row["video_id"]: 4 for row in world.workspace.read_all(COLLECTION_FOLDER, COLLECTION).to_pylist()
    }


def test_the_seconds_of_clips_that_overlap_are_counted_once(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 5.0))  # four clips of 2 s, every second
    assert [clip["unique_s"] for clip in result.clips] == [2.0, 1.0, 1.0, 1.0]
