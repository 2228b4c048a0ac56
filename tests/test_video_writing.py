"""The mp4s of a separated video: its own picture, each stem in time with it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeMedia

from pipeline.media import muxing
from pipeline.media.sandbox import ffmpeg_path
from tests.helpers.films import BEEP, BY_25, FLASH, H264, LAVFI, decode
from tests.helpers.separated_videos import PICTURE, STEREO, level, native_sound, read, separate
from tests.helpers.separators import SPEC


@pytest.fixture(scope="module")
def video(make_media: MakeMedia) -> Path:
    """7 s with sound in stereo at 44.1 kHz, without loss."""
    sources = (*LAVFI, PICTURE.format(5), *LAVFI, STEREO.format(7))
    return make_media("separate_seven.mkv", *sources, *H264, "-c:a", "flac", "-shortest")


def test_the_picture_is_copied_and_the_mp4s_have_a_stem_each(video: Path, tmp_path: Path) -> None:
    separate(video, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    expected = {f"{stem}_screen.{kind}" for stem in ("on", "off") for kind in ("flac", "mp4")}
    assert names == {*expected, "separation.json"}
    _, original, _ = decode(video, BY_25)
    for stem, frequency_hz in (("on_screen", 500), ("off_screen", 5000)):
        sound = native_sound(tmp_path / f"{stem}.mp4")
        assert level(sound, 44_100, frequency_hz).max() > 100 * level(sound, 44_100, 5500 - frequency_hz).max()
        _, frames, info = decode(tmp_path / f"{stem}.mp4", BY_25)
        assert (info.audio_codec, info.audio_layout, info.video_codec) == ("aac", "stereo", "h264")
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in original]
        for mine, expected_frame in zip(frames, original, strict=True):
            np.testing.assert_array_equal(mine.pixels, expected_frame.pixels)


@pytest.mark.parametrize(
    ("name", "codec", "found"),
    [
        ("old.avi", ("-c:v", "mpeg4"), "mpeg4 (yuv420p)"),
        ("full_colour.mp4", (*H264, "-pix_fmt", "yuv444p"), "h264 (yuv444p)"),
    ],
)
def test_a_picture_that_mp4_holds_but_browsers_do_not_play_is_encoded_anew(
    name: str, codec: tuple[str, ...], found: str, make_media: MakeMedia, tmp_path: Path
) -> None:
    path = make_media(name, *LAVFI, FLASH, *LAVFI, BEEP, *codec)
    result = separate(path, tmp_path)
    assert result.notes[-1] == f"picture encoded anew, because browsers do not play {found} in an mp4"
    _, original, _ = decode(path)
    for stem in ("on_screen", "off_screen"):
        _, frames, info = decode(tmp_path / f"{stem}.mp4")
        assert (info.video_codec, info.pixel_format) == ("h264", "yuv420p")
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in original]
        brightness = np.array([[frame.pixels.mean() for frame in each] for each in (frames, original)])
        np.testing.assert_allclose(*brightness, atol=3)


@pytest.mark.parametrize("name", ["plain.mp4", "late.ts", "late.mkv", "late.webm"])
@pytest.mark.parametrize(("sound_delay_s", "picture_delay_s"), [(0.7, 0.0), (0.0, 1.5)])
def test_flash_and_beep_meet_in_what_is_written_as_they_did_before(
    name: str, sound_delay_s: float, picture_delay_s: float, tmp_path: Path
) -> None:
    """The flash is at 2.0 s of the picture and the beep at 2.0 s of the sound, each delayed by its start offset."""
    path = tmp_path / name
    codec = ["-c:v", "libvpx", "-b:v", "1M"] if name.endswith("webm") else H264
    command = [
        *(ffmpeg_path(), "-v", "error", "-y", "-itsoffset", str(picture_delay_s), *LAVFI, FLASH),
        *("-itsoffset", str(sound_delay_s), *LAVFI, BEEP, *codec, str(path)),
    ]
    subprocess.run(command, check=True)
    result = separate(path, tmp_path / "out")
    assert ("browsers do not play vp8 (yuv420p) in an mp4" in str(result)) == name.endswith("webm")
    for stem in ("on_screen", "off_screen"):
        sound, frames, _ = decode(tmp_path / "out" / f"{stem}.mp4", BY_25)
        flash_s = next(frame.time_s for frame in frames if frame.pixels.mean() > 128)
        # the beep of 1 kHz lies at the border of both bands, so that both stems have it
        beep_s = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max())[0] / SPEC.sample_rate_hz
        assert beep_s - flash_s == pytest.approx(sound_delay_s - picture_delay_s, abs=0.045), stem
    flac, rate_hz = read(tmp_path / "out" / "on_screen.flac")
    start = min(sound_delay_s, picture_delay_s)  # the earliest stream of the file is at 0
    onset = np.flatnonzero(np.abs(flac[:, 0]) > 0.2 * np.abs(flac).max())[0] / rate_hz
    assert onset == pytest.approx(2.0 + sound_delay_s - start, abs=0.03)


def test_where_no_mp4_can_be_written_the_sounds_are_there_and_that_is_said(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(muxing.MP4, "format", "no_such_format")
    result = separate(video, tmp_path, write_attention=True)
    assert {path.name for path in tmp_path.iterdir()} == {"on_screen.flac", "off_screen.flac", "separation.json"}
    for note, name in zip(result.notes, ("on_screen.mp4, off_screen.mp4", "attention.mp4"), strict=True):
        assert note.startswith(f"no {name}: ")
        assert "no_such_format" in note
        assert str(tmp_path) not in note
