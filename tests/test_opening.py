"""Odd files are separated, and what is odd about them is said."""

import itertools
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.inference.choosing import Choice, Region, Span
from pipeline.media.sandbox import ffmpeg_path
from tests.helpers.films import BY_25, H264, LAVFI, decode
from tests.helpers.separated_videos import PICTURE, STEREO, db, native_sound, read, separate, stems
from tests.helpers.separators import BandSplit, random_model


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """7 s with sound in stereo at 44.1 kHz, without loss."""
    sources = (*LAVFI, PICTURE.format(5), *LAVFI, STEREO.format(7))
    return make_media("separate_seven.mkv", *sources, *H264, "-c:a", "flac", "-shortest")


def test_a_sound_gives_its_sources_and_no_verdict(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("sound.wav", *LAVFI, STEREO.format(6))
    result = separate(path, tmp_path, order_of_sources := BandSplit(order="turned"))
    assert len(order_of_sources.batch_sizes) == 2
    assert {found.name for found in tmp_path.iterdir()} == {"source_1.flac", "source_2.flac", "separation.json"}
    sources, sound = stems(tmp_path, "source_1", "source_2"), native_sound(path)
    assert db(np.square(sum(sources) - sound).sum() / np.square(sound).sum()) < -80
    assert (result.kept_share, result.has_picture) == (None, False)
    assert "without a verdict" in result.notes[-1]
    row = json.loads((tmp_path / "separation.json").read_text())["windows"][0]
    assert not {"probability", "gain"} & row.keys()
    separate(path, tmp_path / "spans", choice=Choice(spans=(Span(1, 2),)))
    kept, rest = stems(tmp_path / "spans", "kept", "rest")
    np.testing.assert_allclose(kept + rest, sound, atol=1e-4)
    with pytest.raises(ClipError, match="no picture"):
        separate(path, tmp_path / "region", choice=Choice(region=Region(1, 1)))


def test_a_video_without_sound_gets_silent_stems_of_its_length(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media("mute_red.mp4", *LAVFI, "color=red:s=32x32:r=10:d=3.4", *H264)
    result = separate(path, tmp_path, write_sources=True, write_attention=True, choice=Choice(spans=(Span(0, 1),)))
    assert result.notes[0] == "no sound: the stems are silent"
    on_screen, rate_hz = read(tmp_path / "on_screen.flac")
    assert len(on_screen) / rate_hz == pytest.approx(3.4, abs=0.01)
    assert not on_screen.any()
    sound, frames, _ = decode(tmp_path / "on_screen.mp4", BY_25)
    assert len(frames) == 34
    assert not sound.any()


def test_a_video_shorter_than_a_window_keeps_its_length_and_that_is_said(make_media: MakeMedia, tmp_path: Path) -> None:
    path = make_media(
        "short.mkv", *LAVFI, "color=red:s=32x32:r=10:d=0.3", *LAVFI, STEREO.format(0.3), *H264, "-c:a", "flac"
    )
    result = separate(path, tmp_path)
    assert result.notes == ("shorter than the 5 s that the model was trained on",)
    np.testing.assert_allclose(sum(stems(tmp_path)), native_sound(path), atol=1e-5)


def test_silence_and_clipping_are_said(make_media: MakeMedia, tmp_path: Path) -> None:
    picture = (*LAVFI, "color=red:s=32x32:r=10:d=6")
    silent = make_media("silent_red.mkv", *picture, *LAVFI, "anullsrc=d=6", *H264, "-c:a", "flac", "-t", "6")
    result = separate(silent, tmp_path / "silent", random_model())
    assert (result.kept_share, result.notes) == (None, ("silent",))
    loud = "aevalsrc='clip(3*sin(2*PI*400*t),-1,1)':d=6:s=48000"
    clipped = make_media("clipped.mkv", *picture, *LAVFI, loud, *H264, "-c:a", "flac")
    result = separate(clipped, tmp_path / "clipped")
    assert "of the samples are at full scale: the sound is clipped" in result.notes[0]


@pytest.mark.parametrize(
    ("name", "sound", "codec", "num_channels", "note"),
    [
        ("96k", "sine=frequency=500:sample_rate=96000:duration=5.5", "flac", 1, "96000 Hz become 48000 Hz in the mp4s"),
        ("51", "aevalsrc=0.1*sin(3000*t)|0|0.1*sin(20000*t)|0|0|0.1:c=5.1:d=5.5:s=48000", "flac", 6, None),
        ("71", "aevalsrc=0.1*sin(3000*t)|0|0|0|0|0|0|0.1:c=7.1:d=5.5:s=48000", "flac", 8, "8 channels are mixed down"),
        ("9", "aevalsrc=" + "|".join(["0.1*sin(3000*t)"] * 9) + ":d=5.5:s=48000", "pcm_s24le", 9, "WAV, because FLAC"),
        ("11k", "sine=frequency=500:sample_rate=11025:duration=5.5", "flac", 1, None),
    ],
)
def test_odd_rates_and_many_channels_are_kept(
    name: str, sound: str, codec: str, num_channels: int, note: str | None, make_media: MakeMedia, tmp_path: Path
) -> None:
    picture = (*LAVFI, "color=red:s=32x32:r=10:d=5.5")
    path = make_media(f"odd_{name}.mkv", *picture, *LAVFI, sound, *H264, "-c:a", codec)
    result = separate(path, tmp_path)
    kind = "wav" if num_channels > 8 else "flac"
    both = [read(tmp_path / f"{stem}_screen.{kind}")[0] for stem in ("on", "off")]
    whole = native_sound(path)
    assert whole.shape[1] == num_channels
    assert db(np.square(sum(both) - whole).sum() / np.square(whole).sum()) < -60
    assert any(note in said for said in result.notes) if note else result.notes == ()
    mixed, _, info = decode(tmp_path / "on_screen.mp4", BY_25)
    assert info.audio_codec == "aac"
    assert (info.audio_rate_hz or 10**6) <= 48_000
    assert np.abs(mixed).max() > 0.01


def test_a_file_that_breaks_off_is_separated_up_to_there_and_that_is_said(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    result = separate(cut, tmp_path / "out")
    assert 3 < result.duration_s < 6
    assert any("of the 7.0 s that the file states" in note for note in result.notes)
    np.testing.assert_allclose(sum(stems(tmp_path / "out")), native_sound(cut), atol=1e-5)


def test_of_forty_streams_the_pair_that_belongs_together_is_separated_and_that_is_said(
    video: Path, tmp_path: Path
) -> None:
    path = tmp_path / "forty.mkv"
    maps = itertools.chain.from_iterable(("-map", "0:a:0") for _ in range(39))
    command = [ffmpeg_path(), "-v", "error", "-i", str(video), "-map", "0:v:0", *maps, "-c", "copy", str(path)]
    subprocess.run(command, check=True)
    result = separate(path, tmp_path / "out")
    assert any(
        note.startswith("streams: picture 0 h264 of 0 h264; sound 1 flac of 1 flac, 2 flac") for note in result.notes
    )
    np.testing.assert_allclose(sum(stems(tmp_path / "out")), native_sound(path), atol=1e-5)
