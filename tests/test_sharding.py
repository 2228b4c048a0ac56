"""Cutting: as many clips as arithmetic says, each with its own sound and frames, and a reason for what is not kept."""

import errno
import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from botocore.exceptions import EndpointConnectionError
from conftest import MakeMedia

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.sharding import ShardPart
from pipeline.clips.tars import parse_sample
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import DataError, MissingError
from pipeline.storage import files, s3
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.samples import ClipFacts
from schemas.videos import VIDEOS
from tests.helpers.clips import assert_described
from tests.helpers.cutting import (
    EXACT,
    LAVFI,
    RATE_HZ,
    SMALL,
    SPEC,
    Cut,
    assert_shows_its_time,
    files_of,
    picture,
    sound,
    steady,
)
from tests.helpers.films import flip_time

# --- what is in a clip ---


def test_each_clip_holds_its_own_sound_and_its_own_frames(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    # the tone's frequency is 200 Hz in the first second, 400 Hz in the second, ...
    path = make_media("steps.mkv", *picture(5), *sound(5, "0.5*sin(2*PI*200*(1+floor(t))*t)"), *EXACT)
    for number, sample in enumerate(cut(path).samples().values()):
        waveform, rate_hz = soundfile.read(io.BytesIO(sample["flac"]))
        assert (rate_hz, len(waveform)) == (RATE_HZ, 2 * RATE_HZ)
        for second in range(2):
            heard = np.abs(np.fft.rfft(waveform[second * RATE_HZ : (second + 1) * RATE_HZ])).argmax()
            assert heard == 200 * (1 + number + second)
        facts = json.loads(sample["json"])
        assert (facts["start_s"], facts["duration_s"], facts["sample_rate_hz"]) == (number, 2.0, RATE_HZ)
        assert_shows_its_time(sample, facts)


def test_overlapping_clips_share_each_frames_bytes(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    samples = list(cut(steady(make_media, 5.0)).samples().values())
    for earlier, later in itertools.pairwise(samples):
        assert earlier["1.jpg"] == later["0.jpg"]
    assert len({sample["0.jpg"] for sample in samples}) == len(samples)


def test_level_and_peak_are_those_of_a_sine(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    path = make_media("half.mkv", *picture(4), *sound(4, "if(lt(t,2),0.5*sin(2*PI*500*t),0)"), *EXACT)
    first, second, third = cut(path).clips
    amplitude_db = 20 * np.log10(0.5)
    assert first["rms_db"] == pytest.approx(amplitude_db - 10 * np.log10(2), abs=0.01)
    assert second["rms_db"] == pytest.approx(amplitude_db - 20 * np.log10(2), abs=0.01)
    assert first["peak_db"] == second["peak_db"] == pytest.approx(amplitude_db, abs=0.01)
    assert (third["rms_db"], third["peak_db"], third["outcome"]) == (-120.0, -120.0, "silent")


def test_brightness_and_motion_are_those_of_the_picture(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    still = make_media("still.mkv", *LAVFI, "color=white:s=32x32:r=20:d=2", *sound(2), *EXACT)
    flip = "color=black:s=32x32:r=20:d=2,geq=lum='if(lt(T,1),16,235)':cb=128:cr=128"
    flips = make_media("flips.mkv", *LAVFI, flip, *sound(2), *EXACT)
    first, second = cut(still, flips).clips
    assert (first["luma"], first["motion"]) == (pytest.approx(1, abs=0.02), pytest.approx(0, abs=0.01))
    assert (second["luma"], second["motion"]) == (pytest.approx(0.5, abs=0.02), pytest.approx(1, abs=0.02))


def test_a_picture_that_stands_still_is_frozen_and_one_that_moves_is_not(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    half = "color=black:s=32x32:r=20:d=5,geq=lum='if(lt(T,2.5),100,100+20*T)':cb=128:cr=128"
    spec = ClipSpec(clip_s=5.0, frame_height=32, frame_width=32, exact_frames=True)
    (clip,) = cut(make_media("half_frozen.mkv", *LAVFI, half, *sound(5), *EXACT), spec=spec).clips
    assert clip["frozen_fraction"] == 2 / 4  # frames at 0, 1, 2, 3 and 4 s: 0-1 and 1-2 are equal


def test_every_row_says_where_its_sample_lies(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 5.0), steady(make_media, 3.0))
    tar = result.workspace.tar_uri(CLIPS_FOLDER, "00000")
    for clip in result.clips:
        key, members = parse_sample(files.read_bytes(tar, clip["tar_offset"], clip["tar_bytes"]), tar, "it")
        assert key == clip["clip_id"]
        assert members["flac"] == result.samples()[key]["flac"]
    assert [clip["clip_id"] for clip in result.clips] == list(result.samples())


# --- reasons ---


def test_sound_that_ends_early_makes_the_clips_after_it_short_of_audio(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    path = make_media("short_sound.mkv", *picture(5), *sound(3), *EXACT)
    result = cut(path)
    assert result.outcomes == ["kept", "kept", "short_audio", "short_audio"]
    assert result.videos[0]["outcome"] == "kept"


def test_a_clip_before_the_first_frame_has_no_frame(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    path = make_media("later_picture.mkv", "-itsoffset", "1.5", *picture(4), *sound(5), *EXACT)
    assert cut(path).outcomes[:3] == ["no_frame", "kept", "kept"]


def test_a_picture_that_stands_still_goes_on_with_its_last_frame(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    path = make_media("short_picture.mkv", *picture(2), *sound(5), *EXACT)
    result = cut(path)
    assert result.outcomes == ["kept"] * 4
    assert [json.loads(sample["json"])["frame_times_s"] for sample in result.samples().values()] == [
        [0.0, 1.0],
        [1.0, 1.0],
        [1.0, 1.0],
        [1.0, 1.0],
    ]


@pytest.mark.parametrize(("peak_db", "outcome"), [(-50, "kept"), (-65, "silent")])
def test_what_is_quieter_than_the_limit_is_silent(
    peak_db: int, outcome: str, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    quiet = sound(2, f"{10 ** (peak_db / 20):.6f}*sin(2*PI*500*t)")
    result = cut(make_media(f"quiet{peak_db}.mkv", *picture(2), *quiet, *EXACT))
    assert result.outcomes == [outcome]
    assert result.videos[0]["outcome"] == outcome
    assert result.clips[0]["rms_db"] == pytest.approx(peak_db - 3.01, abs=0.5)


def test_a_constant_offset_is_silent_and_the_video_says_how_quiet(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    (video,) = cut(make_media("offset.mkv", *picture(2), *sound(2, "0.03"), *EXACT)).videos
    assert (video["outcome"], video["detail"]) == ("silent", "no clip above -120.0 dBFS, expected at least -60.")


@pytest.mark.parametrize("error", [DataError("AccessDenied"), EndpointConnectionError(endpoint_url="http://far")])
def test_a_video_that_could_not_be_asked_for_is_not_missing_and_its_part_stays_to_be_cut(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    (tmp_path / "list.csv").write_text("uri\ns3://bucket/a.mp4\n")
    workspace = Workspace(str(tmp_path / "workspace"))
    plan_parts(workspace, list_videos(str(tmp_path / "list.csv")), CollectingConfig())
    monkeypatch.setattr(s3, "_iter_chunks", refuse)
    with pytest.raises(type(error)):
        ShardPart(workspace, {BASE: SPEC}, ShardingConfig())("00000")
    assert workspace.pending(COLLECTION_FOLDER, VIDEOS_FOLDER) == ["00000"]
    monkeypatch.setattr(s3, "_iter_chunks", refuse_as_missing)
    ShardPart(workspace, {BASE: SPEC}, ShardingConfig())("00000")
    (row,) = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()
    assert (row["outcome"], row["detail"]) == ("missing", "s3://bucket/a.mp4: NoSuchKey")


def refuse_as_missing(uri: str) -> None:
    raise MissingError(f"{uri}: NoSuchKey")


def test_every_video_has_one_row_whatever_becomes_of_it(
    make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    expected = {
        steady(make_media, 3.0): "kept",
        steady(make_media, 1.5): "too_short",
        make_media("mute.mkv", *picture(3), *EXACT): "no_audio",
        make_media("tone_3.wav", *sound(3)): "no_video",
        make_media("silent.mkv", *picture(3), *sound(3, "0"), *EXACT): "silent",
        tmp_path / "text.mp4": "unreadable",
        tmp_path / "gone.mp4": "missing",
    }
    result = cut(*expected, columns="license", values="CC0")
    assert [Path(video["uri"]) for video in result.videos] == list(expected)
    assert [video["outcome"] for video in result.videos] == list(expected.values())
    for video in result.videos:
        clips = [clip for clip in result.clips if clip["video_id"] == video["video_id"]]
        assert video["num_clips"] == len(clips)
        assert (video["outcome"] == "kept") == any(clip["outcome"] == "kept" for clip in clips)
        assert (video["license"], video["part"]) == ("CC0", "00000")
        assert (video["outcome"] == "kept") == (video["detail"] is None)
    kept = result.videos[0]
    assert (kept["width"], kept["height"], kept["frame_rate_hz"]) == (32, 32, 20.0)
    assert (kept["video_codec"], kept["audio_codec"]) == ("h264", "pcm_s16le")
    assert result.counts.pop("clip_bytes") == sum(clip["tar_bytes"] or 0 for clip in result.clips)
    seconds = result.counts.pop("video_s")
    assert seconds == pytest.approx(3 + 1.5 + 3, abs=0.2)  # those that have sound and picture
    of_videos = {f"videos {name}": 1 for name in expected.values()}
    assert result.counts == of_videos | {"clips kept": 2, "clips silent": 2}
    assert list(result.samples()) == [clip["clip_id"] for clip in result.clips if clip["outcome"] == "kept"]
    assert all((clip["tar_offset"] is None) == (clip["outcome"] != "kept") for clip in result.clips)


def test_a_video_that_takes_too_long_is_a_timeout(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 3.0), config=ShardingConfig(video_limit_s=1e-4))
    assert [video["outcome"] for video in result.videos] == ["timeout"]
    assert result.counts == {"video_s": 0.0, "clip_bytes": 0, "videos timeout": 1}


def test_a_video_that_breaks_off_keeps_the_clips_before_and_says_so(
    make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    busy = make_media("busier.mkv", *LAVFI, "testsrc=s=64x48:r=20:d=8", *sound(8), *EXACT, "-g", "10").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(busy[: len(busy) * 6 // 10])
    result = cut(tmp_path / "cut.mkv")
    assert 1 <= result.outcomes.count("kept") <= 4
    assert result.videos[0]["outcome"] == "kept"
    assert "File ended prematurely" in result.videos[0]["detail"]
    assert str(tmp_path) not in result.videos[0]["detail"]


# --- the same bytes ---


def test_a_second_run_writes_the_same_bytes(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    files = [steady(make_media, 5.0), steady(make_media, 1.5), make_media("mute.mkv", *picture(3), *EXACT)]
    first, second = cut(*files), cut(*files)
    assert first.workspace != second.workspace
    assert files_of(first.workspace) == files_of(second.workspace)


# --- wrong time stamps ---


@pytest.mark.parametrize(("track", "number"), [(1, 30), (1, 99), (2, 40)])
def test_one_wrong_time_stamp_neither_adds_nor_spoils_a_clip(
    track: int, number: int, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    path = make_media("stamps.mkv", *picture(5), *sound(5), *EXACT, "-bf", "0")
    damaged = flip_time(path, track, number, bit=14)  # 16 s
    spec = ClipSpec(clip_s=2.0, **SMALL)
    clips, found = (cut(file, spec=spec) for file in (path, damaged))
    assert found.outcomes == clips.outcomes == ["kept"] * 4
    for (key, sample), other in zip(found.samples().items(), clips.samples().values(), strict=True):
        assert sample["flac"] == other["flac"], key
        assert_shows_its_time(sample, json.loads(sample["json"]))


def test_a_videos_row_has_the_sha256_of_its_file_and_none_where_none_could_be_read(
    make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    video = steady(make_media, 3.0)
    (tmp_path / "text.mkv").write_text("no video")
    result = cut(video, tmp_path / "text.mkv", tmp_path / "gone.mkv")
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (video, tmp_path / "text.mkv")]
    assert [row["content_hash"] for row in result.videos] == [*expected, None]


def test_a_videos_row_has_the_other_columns_of_the_collection(
    make_media: MakeMedia, cut: Callable[..., Cut], tmp_path: Path
) -> None:
    result = cut(steady(make_media, 2.0), tmp_path / "gone.mkv", columns="title,licence", values="Ü 1,CC0")
    assert [json.loads(row["extra"]) for row in result.videos] == [{"title": "Ü 1"}] * 2
    assert {row["license"] for row in result.videos} == {"CC0"}
    (sample,) = result.samples().values()  # attribution travels with the clip
    facts, video = json.loads(sample["json"]), result.videos[0]
    assert (facts["uri"], facts["license"], facts["author"]) == (video["uri"], "CC0", None)
    assert facts["extra"] == {"title": "Ü 1"}
    assert_described(facts, ClipFacts)


def test_a_file_of_which_the_disk_cannot_give_all_keeps_the_clips_of_what_it_gives(
    make_media: MakeMedia, cut: Callable[..., Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", fail)
    (video,) = cut(steady(make_media, 2.0)).videos
    assert (video["outcome"], video["content_hash"]) == ("kept", None)
