"""Clips of sound alone: cut from sound files and from videos, by the clip spec `sounds`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clip_specs import BASE, SOUNDS, ClipSpecs
from pipeline.clips.cutting import ShardingConfig
from pipeline.clips.samples import Clip
from pipeline.clips.sharding import ShardPart
from pipeline.clips.splitting import SplittingConfig
from pipeline.collection.collecting import CollectingConfig, plan_parts
from pipeline.collection.listing import list_videos
from pipeline.storage.workspace import Workspace
from pipeline.training.clipsets import load_splits
from schemas.clips import CLIPS
from schemas.videos import VIDEOS

MakeMedia = Callable[..., Path]
RATE_HZ = 16000
LAVFI = ("-f", "lavfi", "-i")
PICTURE = (*LAVFI, "color=red:s=32x32:r=5:d=6")
NO_SPLIT = SplittingConfig(validate_fraction=0.0, test_fraction=0.0)


def tone(duration_s: float, frequency_hz: int = 500, amplitude: float = 0.5) -> tuple[str, ...]:
    return (*LAVFI, f"aevalsrc='{amplitude}*sin(2*PI*{frequency_hz}*t)':d={duration_s}:s={RATE_HZ}")


class Cut:
    """What became of the files of a collection."""

    def __init__(self, folder: Path, *files: Path, columns: str = "", values: str = "", specs: tuple[str, ...]) -> None:
        folder.mkdir()
        rows = [f"uri{columns}", *(f"{file}{values}" for file in files)]
        (folder / "list.csv").write_text("\n".join(rows) + "\n")
        self.workspace = Workspace(str(folder / "workspace"))
        plan_parts(self.workspace, list_videos(str(folder / "list.csv")), CollectingConfig())
        ShardPart(self.workspace, {name: getattr(ClipSpecs(), name) for name in specs}, ShardingConfig())("00000")
        self.rows: list[dict[str, Any]] = self.workspace.read("clips/sounds", "00000", CLIPS).to_pylist()
        self.videos: list[dict[str, Any]] = self.workspace.read("videos/sounds", "00000", VIDEOS).to_pylist()

    def clips(self) -> list[Clip]:
        (clips,) = load_splits(self.workspace, ("train",), NO_SPLIT, ["00000"], SOUNDS)
        return clips.read_many(range(len(clips)))


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Cut]:
    def run(*files: Path, specs: tuple[str, ...] = (SOUNDS,), **table: str) -> Cut:
        return Cut(tmp_path / f"cut_{len(list(tmp_path.iterdir()))}", *files, specs=specs, **table)

    return run


def expected(start_s: float, num_samples: int) -> np.ndarray:
    t = start_s + np.arange(num_samples) / RATE_HZ
    return 0.5 * np.sin(2 * np.pi * 500 * t)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_a_sound_file_gives_a_clip_for_every_five_seconds_and_no_frame(
    suffix: str, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    result = cut(make_media(f"twelve.{suffix}", *tone(12.0)))
    assert [(row["start_s"], row["num_frames"], row["outcome"]) for row in result.rows] == [
        (0.0, 0, "kept"),
        (5.0, 0, "kept"),
    ]
    gain = 0.95 if suffix == "mp3" else 1.0  # LAME makes all sound so much quieter
    assert [row["rms_db"] for row in result.rows] == pytest.approx(2 * [20 * np.log10(0.5 * gain / 2**0.5)], abs=0.1)
    assert all(row["luma"] is row["motion"] is row["frozen_fraction"] is None for row in result.rows)
    (video,) = result.videos
    assert (video["outcome"], video["width"], video["video_codec"]) == ("kept", None, None)
    assert video["duration_s"] == pytest.approx(12.0, abs=0.1)
    first, second = result.clips()
    assert first.frames.shape == second.frames.shape == (0, 3, 0, 0)
    assert (first.facts["frame_times_s"], first.facts["duration_s"]) == ([], 5.0)
    if suffix in ("wav", "flac"):  # at the rate of the spec, so nothing but the rounding to 16 bits is lost
        for clip in (first, second):
            np.testing.assert_allclose(clip.waveform, expected(clip.facts["start_s"], 5 * RATE_HZ), atol=2 / 32768)


def test_of_a_video_the_sound_alone_is_cut_the_same_beside_other_clip_specs(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    film = make_media("film_6s.mkv", *PICTURE, *tone(6.0), "-c:v", "libx264", "-c:a", "pcm_s16le")
    alone, beside = cut(film), cut(film, specs=(BASE, SOUNDS))
    assert alone.rows == beside.rows
    (clip,) = alone.clips()
    np.testing.assert_array_equal(clip.waveform, beside.clips()[0].waveform)
    np.testing.assert_allclose(clip.waveform, expected(0.0, 5 * RATE_HZ), atol=2 / 32768)
    assert clip.frames.shape == (0, 3, 0, 0)
    assert beside.workspace.read("clips/base", "00000", CLIPS)["outcome"].to_pylist() == ["kept", "kept"]


@pytest.mark.parametrize(
    ("duration_s", "outcome"), [(3.0, "kept"), (0.55, "kept"), (0.45, "too_short"), (4.99, "kept"), (5.0, "kept")]
)
def test_a_sound_shorter_than_a_clip_is_filled_with_silence_from_half_a_second_on(
    duration_s: float, outcome: str, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    result = cut(make_media(f"short_{duration_s}.wav", *tone(duration_s)))
    assert [(row["start_s"], row["outcome"]) for row in result.rows] == [(0.0, outcome)]
    assert result.videos[0]["outcome"] == outcome
    if outcome == "kept":
        (clip,) = result.clips()
        num_heard = round(duration_s * RATE_HZ)
        np.testing.assert_allclose(clip.waveform[:num_heard], expected(0.0, num_heard), atol=2 / 32768)
        assert len(clip.waveform) == 5 * RATE_HZ
        assert not clip.waveform[num_heard:].any()
        assert result.rows[0]["unique_s"] == pytest.approx(duration_s, abs=1e-6)
        # the level is that of what sounds, so a short sound is not taken for a silent one
        assert result.rows[0]["rms_db"] == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.1)


def test_only_a_files_first_clip_is_filled(make_media: MakeMedia, cut: Callable[..., Cut]) -> None:
    result = cut(make_media("eight.wav", *tone(8.0)))
    assert [row["start_s"] for row in result.rows] == [0.0]


def test_a_span_shorter_than_a_clip_ends_in_silence_not_in_what_follows_it(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    result = cut(make_media("twelve.wav", *tone(12.0)), columns=",start_s,end_s", values=",2,5")
    (clip,) = result.clips()
    assert clip.facts["start_s"] == 2.0
    np.testing.assert_allclose(clip.waveform[: 3 * RATE_HZ], expected(2.0, 3 * RATE_HZ), atol=2 / 32768)
    assert not clip.waveform[3 * RATE_HZ :].any()


def test_what_has_no_sound_is_a_row_with_the_reason(
    tmp_path: Path, make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no sound")
    silent = make_media("digital_silence.wav", *LAVFI, f"anullsrc=r={RATE_HZ}:cl=mono:d=6")
    mute = make_media("mute_for_sounds.mp4", *PICTURE)
    result = cut(text, silent, mute, tmp_path / "gone.wav")
    assert [video["outcome"] for video in result.videos] == ["unreadable", "silent", "no_audio", "missing"]
    assert [row["outcome"] for row in result.rows] == ["silent"]


def test_of_several_sounds_without_a_picture_the_default_one_is_cut(
    make_media: MakeMedia, cut: Callable[..., Cut]
) -> None:
    both = make_media(
        "two_sounds.mkv", *tone(6.0, 300, 0.1), *tone(6.0), "-map", "0", "-map", "1", "-c:a", "pcm_s16le",
        "-disposition:a:0", "0", "-disposition:a:1", "default",
    )  # fmt: skip
    result = cut(both)
    np.testing.assert_allclose(result.clips()[0].waveform, expected(0.0, 5 * RATE_HZ), atol=2 / 32768)
    assert "sound 1 pcm_s16le of 0 pcm_s16le, 1 pcm_s16le" in result.videos[0]["detail"]
