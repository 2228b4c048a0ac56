"""Writing mp4s: the original's picture with each of the given sounds, within limits of time."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.media.muxing import Track, write_mp4s
from pipeline.media.stream_choice import FIRST
from tests.helpers.films import BEEP, FLASH, H264, LAVFI, RATE_HZ, decode


def tones(folder: Path, *frequencies_hz: int, duration_s: float = 4.0) -> list[Track]:
    """A FLAC file with a sine of each frequency."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    paths = [folder / f"{frequency_hz}.flac" for frequency_hz in frequencies_hz]
    for path, frequency_hz in zip(paths, frequencies_hz, strict=True):
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency_hz * time_s), RATE_HZ)
    return [Track(path, "flac", RATE_HZ, 1) for path in paths]


def test_each_mp4_has_the_original_picture_and_its_own_sound(make_media: MakeMedia, tmp_path: Path) -> None:
    video = make_media("flash.mp4", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2")
    made = [tmp_path / "low.mp4", tmp_path / "high.mp4"]
    assert write_mp4s(video, FIRST, tones(tmp_path, 500, 2000), made, limit_s=60)
    _, original, _ = decode(video)
    for path, frequency_hz in zip(made, (500, 2000), strict=True):
        sound, frames, info = decode(path)
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in original]
        for frame, expected in zip(frames, original, strict=True):
            np.testing.assert_array_equal(frame.pixels, expected.pixels)
        second = np.abs(np.fft.rfft(sound[RATE_HZ : 2 * RATE_HZ]))  # of 1 s: bin k is k Hz
        assert second.argmax() == frequency_hz
        assert info.audio_codec == "aac"


def test_a_codec_that_mp4_does_not_hold_is_encoded_once_for_all_sounds_and_reported(
    make_media: MakeMedia, tmp_path: Path
) -> None:
    video = make_media("odd_sides.webm", *LAVFI, FLASH, *LAVFI, BEEP, "-c:v", "libvpx", "-s", "63x47", "-b:v", "1M")
    made, said = [tmp_path / "low.mp4", tmp_path / "high.mp4"], list[float]()
    assert not write_mp4s(video, FIRST, tones(tmp_path, 500, 2000), made, limit_s=60, report=said.append)
    assert said == sorted(said)
    assert said[-1] == pytest.approx(4, abs=0.3)
    pictures = []
    for path, frequency_hz in zip(made, (500, 2000), strict=True):
        sound, frames, info = decode(path)
        assert (info.video_codec, info.pixel_format, info.width, info.height) == ("h264", "yuv420p", 62, 46)
        second = np.abs(np.fft.rfft(sound[RATE_HZ : 2 * RATE_HZ]))
        assert second.argmax() == frequency_hz
        pictures.append(np.stack([frame.pixels for frame in frames]))
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize(
    ("num_channels", "rate_hz", "layout", "written_hz"),
    [(1, 8000, "mono", 8000), (3, 44_100, "5.1", 44_100), (4, 48_000, "5.1", 48_000), (8, 96_000, "5.1", 48_000)],
)
def test_the_sound_is_what_browsers_play(
    num_channels: int, rate_hz: int, layout: str, written_hz: int, make_media: MakeMedia, tmp_path: Path
) -> None:
    video = make_media("flash.mp4", *LAVFI, FLASH, *LAVFI, BEEP, *H264, "-bf", "2")
    time_s = np.arange(4 * rate_hz) / rate_hz
    sound = np.repeat(0.2 * np.sin(2 * np.pi * 500 * time_s)[:, None], num_channels, axis=1)
    soundfile.write(tmp_path / "x.flac", sound, rate_hz)
    track = Track(tmp_path / "x.flac", "flac", rate_hz, num_channels)
    assert write_mp4s(video, FIRST, [track], [tmp_path / "x.mp4"], limit_s=60)
    _, _, info = decode(tmp_path / "x.mp4")
    assert (info.audio_codec, info.audio_layout, info.audio_rate_hz) == ("aac", layout, written_hz)
    data = (tmp_path / "x.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playing begins before all has been loaded


def test_what_is_no_video_is_unreadable_and_the_message_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(ClipError) as caught:
        write_mp4s(tmp_path / "text.mp4", FIRST, tones(tmp_path, 500), [tmp_path / "out.mp4"], limit_s=60)
    assert caught.value.reason == "unreadable"
    assert "Invalid data" in caught.value.detail


def test_a_file_that_keeps_ffmpeg_waiting_is_a_timeout(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.mp4")
    with pytest.raises(ClipError) as caught:
        write_mp4s(tmp_path / "endless.mp4", FIRST, tones(tmp_path, 500), [tmp_path / "out.mp4"], limit_s=0.3)
    assert caught.value.reason == "timeout"
