"""Cutting: as many clips as arithmetic says, each with its own sound and frames, and a reason for what is not kept."""

import collections
import dataclasses
import errno
import hashlib
import io
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import soundfile
import webdataset
from botocore.exceptions import EndpointConnectionError

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import CutClip, ShardingConfig, SpecCutting
from pipeline.clips.sharding import Cutting, Restart, ShardPart
from pipeline.clips.tars import parse_sample
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.errors import ConfigError, DataError, MissingError
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.streams import Frame
from pipeline.storage import files, s3
from pipeline.storage.layout import CLIPS_FOLDER, COLLECTION_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.samples import ClipFacts
from schemas.videos import COLLECTION, VIDEOS, CollectionRow
from tests.helpers.clips import assert_described
from tests.helpers.films import flip_time

RATE_HZ = 16000
SPEC = ClipSpec(clip_s=2.0, frame_height=32, frame_width=32, exact_frames=True)
SMALL = {"frame_height": 32, "frame_width": 32}
LAVFI = ("-f", "lavfi", "-i")
EXACT = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
MakeMedia = Callable[..., Path]


def picture(duration_s: float) -> tuple[str, ...]:
    """Brightness says the time: luma 16 + 20 t."""
    return (*LAVFI, f"color=black:s=32x32:r=20:d={duration_s},geq=lum='16+20*T':cb=128:cr=128")


def sound(duration_s: float, expression: str = "0.5*sin(2*PI*500*t)") -> tuple[str, ...]:
    return (*LAVFI, f"aevalsrc='{expression}':d={duration_s}:s={RATE_HZ}")


def steady(make_media: MakeMedia, duration_s: float) -> Path:
    return make_media(f"steady_{duration_s}.mkv", *picture(duration_s), *sound(duration_s), *EXACT)


class Cut:
    """The rows and samples that come of a collection of one part."""

    def __init__(self, workspace: Workspace, collection: Path, spec: ClipSpec, config: ShardingConfig) -> None:
        plan_parts(workspace, list_videos(str(collection)), CollectingConfig())
        self.counts = ShardPart(workspace, {BASE: spec}, config)("00000")
        self.workspace = workspace
        self.clips: list[dict[str, Any]] = workspace.read(CLIPS_FOLDER, "00000", CLIPS).to_pylist()
        self.videos: list[dict[str, Any]] = workspace.read(VIDEOS_FOLDER, "00000", VIDEOS).to_pylist()

    @property
    def outcomes(self) -> list[str]:
        return [clip["outcome"] for clip in self.clips]

    def samples(self) -> dict[str, dict[str, Any]]:
        """What plain webdataset finds in the tar."""
        tar = self.workspace.tar_uri(CLIPS_FOLDER, "00000")
        return {
            sample["__key__"]: sample for sample in webdataset.WebDataset(tar, shardshuffle=False, empty_check=False)
        }


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Cut]:
    """cut(file, ..., columns="start_s,end_s", values="3,7") -> what became of the files."""
    made: list[int] = []

    def run(
        *files: Path | str,
        columns: str = "",
        values: str = "",
        spec: ClipSpec = SPEC,
        config: ShardingConfig | None = None,
    ) -> Cut:
        made.append(1)
        table = tmp_path / f"list_{len(made)}.csv"
        rows = [f"uri{columns and ','}{columns}", *(f"{file}{values and ','}{values}" for file in files)]
        table.write_text("\n".join(rows) + "\n")
        return Cut(Workspace(str(tmp_path / f"workspace_{len(made)}")), table, spec, config or ShardingConfig())

    return run


# --- how many clips, and which spans ---


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


def assert_shows_its_time(sample: dict[str, Any], facts: dict[str, Any]) -> None:
    """The frames of `picture` say when they were shown."""
    for k, time_s in enumerate(facts["frame_times_s"]):
        luma = simplejpeg.decode_jpeg(sample[f"{k}.jpg"], colorspace="RGB").mean() * 219 / 255 / 20
        assert luma == pytest.approx(time_s, abs=0.12)
        assert time_s == pytest.approx(math.ceil(facts["start_s"]) + k, abs=0.06)  # at 1 fps there is one every second


def span_of(path: Path, start_s: float, end_s: float) -> CollectionRow:
    return CollectionRow(
        video_id="v", uri=str(path), size_bytes=None, revision=None, license=None, author=None, split=None,
        spans=[{"start_s": start_s, "end_s": end_s}],
    )  # fmt: skip


def test_what_lies_before_the_span_is_not_held_in_memory(make_media: MakeMedia) -> None:
    video = span_of(steady(make_media, 30.0), 26.0, 28.0)
    cutting = SpecCutting(video, BASE, SPEC, ShardingConfig())
    second = np.ones(RATE_HZ, np.int16)
    for number in range(26):
        assert not [*cutting.add(second, MediaInfo()), *cutting.add(grey(float(number)), MediaInfo())]
        assert cutting._sound.end - cutting._sound.start == 0
        assert len(cutting._frames._by_tick) <= 1
    assert [clip.row["start_s"] for clip in Cutting(video, {BASE: SPEC}, ShardingConfig())] == [26.0]


def grey(time_s: float) -> Frame:
    return Frame(BASE, time_s, np.full((32, 32, 3), 100, np.uint8))


def test_what_lies_after_the_span_is_not_decoded(make_media: MakeMedia, monkeypatch: pytest.MonkeyPatch) -> None:
    decodings = []

    class Watched(Decoding):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            decodings.append(self)

    monkeypatch.setattr("pipeline.clips.sharding.Decoding", Watched)
    cutting = Cutting(span_of(steady(make_media, 30.0), 0.0, 3.0), {BASE: SPEC}, ShardingConfig())
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
    seconds = result.counts.pop("video_s")
    assert seconds == pytest.approx(3 + 1.5 + 3, abs=0.2)  # those that have sound and picture
    of_videos = {f"videos {name}": 1 for name in expected.values()}
    assert result.counts == of_videos | {"clips kept": 2, "clips silent": 2}
    assert list(result.samples()) == [clip["clip_id"] for clip in result.clips if clip["outcome"] == "kept"]
    assert all((clip["tar_offset"] is None) == (clip["outcome"] != "kept") for clip in result.clips)


def test_a_video_that_takes_too_long_is_a_timeout(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 3.0), config=ShardingConfig(video_limit_s=1e-4))
    assert [video["outcome"] for video in result.videos] == ["timeout"]
    assert result.counts == {"video_s": 0.0, "videos timeout": 1}


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


def files_of(workspace: Workspace) -> dict[str, bytes]:
    return {
        files.relative(entry.uri, workspace.root): files.read_bytes(entry.uri)
        for entry in files.list_files(workspace.root)
    }


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


# --- several clip specs ---

SPECS = {
    "base": ClipSpec(clip_s=2.0, **SMALL),
    "events": ClipSpec(clip_s=4.0, hop_s=4.0, frame_rate_hz=4.0, **SMALL),
    "segmentation": ClipSpec(clip_s=2.0, hop_s=2.0, frame_offset_s=0.5, frame_height=24, frame_width=48),
    "speech": ClipSpec(clip_s=1.0, hop_s=1.0, frame_rate_hz=20.0, exact_frames=True, **SMALL),
    "low": ClipSpec(clip_s=2.0, hop_s=2.0, sample_rate_hz=8000, **SMALL),
}


def sparse(make_media: MakeMedia, half_s: float = 4.0, name: str = "sparse.mkv") -> Path:
    """Every picture is one that another refers to, then 16 in a row are not: at 20 fps a gap of 0.85 s."""
    first = make_media(f"dense_{name}", *picture(half_s), *EXACT, "-bf", "0")
    params = "bframes=16:b-adapt=0:b-pyramid=none:keyint=100:scenecut=0"
    second = make_media(f"skipped_{name}", *picture(4.0), *EXACT, "-preset", "fast", "-x264-params", params)
    (first.parent / f"{name}.txt").write_text(f"file {first.name}\nfile {second.name}\n")
    both = ("-f", "concat", "-i", f"{name}.txt")
    return make_media(name, *both, *sound(half_s + 4.0), "-c:v", "copy", "-c:a", "pcm_s16le")


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


# --- pictures that are left out ---


def test_where_pictures_lie_too_far_apart_every_one_is_decoded(
    make_media: MakeMedia, cut: Callable[..., Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.clips.sharding.ROWS_AT_ONCE", 2)
    spec = ClipSpec(clip_s=2.0, frame_rate_hz=4.0, **SMALL)
    paths = steady(make_media, 3.0), sparse(make_media), steady(make_media, 5.0)
    fast, exact = (cut(*paths, spec=each) for each in (spec, dataclasses.replace(spec, exact_frames=True)))
    # `steady` has no pictures that no other refers to
    assert files_of(fast.workspace)["clips/base/00000.tar"] == files_of(exact.workspace)["clips/base/00000.tar"]
    assert [(row["clip_id"], row["tar_offset"]) for row in fast.clips] == [
        (row["clip_id"], row["tar_offset"]) for row in exact.clips
    ]
    assert fast.counts == exact.counts
    for sample in fast.samples().values():
        facts = json.loads(sample["json"])
        np.testing.assert_allclose(facts["frame_times_s"], facts["start_s"] + np.arange(8) / 4, atol=0.051)


def ends_skipped(make_media: MakeMedia, sound_s: float = 4.85) -> Path:
    """All pictures up to 4.0 s are decoded, and none of the 16 that follow: the one that they refer to is cut off."""
    listed = sparse(make_media).with_suffix(".mkv.txt").name
    drop = ("-c:v", "copy", "-c:a", "pcm_s16le", "-bsf:v", "noise=drop='gte(pts*tb,4.84)'")
    return make_media(f"ends_skipped_{sound_s}.mkv", "-f", "concat", "-i", listed, *sound(sound_s), *drop)


def restarts_and_times(path: Path, spec: ClipSpec, end_s: float = 60.0) -> tuple[int, list[float]]:
    """How often a file is cut anew, and the times of the frames of the clips that count."""
    items = list(Cutting(span_of(path, 0.0, end_s), {BASE: spec}, ShardingConfig()))
    anew = [k for k, item in enumerate(items) if isinstance(item, Restart)]
    clips = [item for item in items[anew[-1] + 1 if anew else 0 :] if isinstance(item, CutClip) and item.members]
    return len(anew), [time_s for clip in clips for time_s in json.loads(clip.members["json"])["frame_times_s"]]


def test_pictures_left_out_at_the_end_are_decoded_if_a_tick_is_theirs(make_media: MakeMedia) -> None:
    spec = ClipSpec(clip_s=0.5, hop_s=0.5, frame_rate_hz=4.0, **SMALL)
    path = ends_skipped(make_media)
    restarts, times_s = restarts_and_times(path, spec)
    assert restarts == 1
    np.testing.assert_allclose(times_s, np.arange(18) / 4, atol=0.001)
    assert restarts_and_times(path, spec, end_s=4.0)[0] == 0
    by_1 = ClipSpec(clip_s=1.0, hop_s=1.0, **SMALL)  # tick 4 has its picture, and there is none at 5 s
    assert restarts_and_times(path, by_1) == (0, pytest.approx([0, 1, 2, 3], abs=0.001))


def test_a_picture_that_ends_before_the_sound_is_not_cut_anew(make_media: MakeMedia) -> None:
    spec = ClipSpec(clip_s=0.5, hop_s=0.5, frame_rate_hz=4.0, **SMALL)
    path = make_media("short_picture.mkv", *picture(2), *sound(5), *EXACT)
    restarts, times_s = restarts_and_times(path, spec)
    assert restarts == 0
    np.testing.assert_allclose(times_s, np.minimum(np.arange(20) / 4, 1.75), atol=0.001)


def test_a_gap_after_the_last_span_does_not_matter(make_media: MakeMedia) -> None:
    path = sparse(make_media)
    for end_s, restarts in ((3.0, 0), (6.0, 1)):
        items = list(Cutting(span_of(path, 0.0, end_s), {BASE: SPECS[BASE]}, ShardingConfig()))
        assert sum(isinstance(item, Restart) for item in items) == restarts


@pytest.mark.parametrize(
    ("num_between", "anew"), [(1, []), (2, ["events"]), (9, ["events"]), (10, ["base", "events", "segmentation"])]
)
def test_a_picture_may_stand_in_for_those_that_are_half_a_tick_from_it(
    num_between: int, anew: list[str], make_media: MakeMedia
) -> None:
    params = f"bframes={num_between}:b-adapt=0:b-pyramid=none:scenecut=0"
    path = make_media(
        f"between_{num_between}.mkv", *picture(4), *sound(4), *EXACT, "-preset", "fast", "-x264-params", params
    )  # at 20 fps 0.1, 0.15, 0.5 and 0.55 s apart, at 1 and 4 ticks per s
    specs = {name: SPECS[name] for name in ("base", "events", "segmentation")}
    items = list(Cutting(span_of(path, 0.0, 4.0), specs, ShardingConfig()))
    assert [item.specs for item in items if isinstance(item, Restart)] == [anew] * bool(anew)
    alone = {
        name: list(Cutting(span_of(path, 0.0, 4.0), {name: spec}, ShardingConfig())) for name, spec in specs.items()
    }
    for name, of_spec in alone.items():
        begins = [
            found.index(Restart(list(names))) if name in anew else 0
            for found, names in ((items, anew), (of_spec, [name]))
        ]
        together, by_itself = (
            [item for item in found[begin:] if isinstance(item, CutClip) and item.spec == name]
            for found, begin in zip((items, of_spec), begins, strict=True)
        )
        assert together == by_itself


def test_all_specs_share_one_decoding(make_media: MakeMedia) -> None:
    """Each has three pipes, and ffmpeg may open so many files and no more."""
    path = steady(make_media, 9.0)
    specs = {str(number): ClipSpec(clip_s=2.0, hop_s=1.0 + number, **SMALL) for number in range(8)}
    cutting = Cutting(span_of(path, 0.0, 9.0), specs, ShardingConfig())
    found = collections.Counter(item.spec for item in cutting if isinstance(item, CutClip) and item.members)
    assert found == {str(number): 1 + int(7 / (1 + number)) for number in range(8)}


def test_a_frame_offset_of_a_whole_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"frame_offset_s = 0\.25: expected less than 0\.25 s"):
        ClipSpec(frame_rate_hz=4.0, frame_offset_s=0.25)


def test_the_world_is_cut_into_four_clips_per_video(world: Any) -> None:
    clips = world.workspace.read_all(CLIPS_FOLDER, CLIPS).to_pylist()
    assert collections.Counter(clip["video_id"] for clip in clips) == {
        row["video_id"]: 4 for row in world.workspace.read_all(COLLECTION_FOLDER, COLLECTION).to_pylist()
    }


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


def test_the_seconds_of_clips_that_overlap_are_counted_once(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(steady(make_media, 5.0))  # four clips of 2 s, every second
    assert [clip["unique_s"] for clip in result.clips] == [2.0, 1.0, 1.0, 1.0]
