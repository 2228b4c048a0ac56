"""Writing mp4s: the original's picture with each of the given sounds, within limits of time."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import MakeMedia

from pipeline.errors import ClipError
from pipeline.media.muxing import write_mp4s
from pipeline.media.stream_choice import FIRST
from tests.helpers.films import BEEP, FLASH, H264, LAVFI, RATE_HZ, decode


def tones(folder: Path, *frequencies_hz: int, duration_s: float = 4.0) -> list[Path]:
    """A FLAC file with a sine of each frequency."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    paths = [folder / f"{frequency_hz}.flac" for frequency_hz in frequencies_hz]
    for path, frequency_hz in zip(paths, frequencies_hz, strict=True):
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency_hz * time_s), RATE_HZ)
    return paths


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
