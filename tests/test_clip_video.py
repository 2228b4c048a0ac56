"""A clip as mp4, read back by ffmpeg alone: its frames at their times, and its sound."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ClipError
from pipeline.media.clip_video import write_clip_video
from tests.helpers.separated import picture_times_s, run_ffmpeg, sound_of

RATE_HZ = 16_000


def test_frames_are_shown_for_equal_times_and_the_sound_is_heard(tmp_path: Path) -> None:
    greys = np.array([20, 90, 160, 230], np.uint8)
    frames = np.tile(greys[:, None, None, None], (1, 3, 33, 47))  # odd sides: H.264 in 4:2:0 has even ones
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ).astype(np.float32)
    write_clip_video(frames, tone, RATE_HZ, tmp_path / "clip.mp4")
    np.testing.assert_allclose(picture_times_s(tmp_path / "clip.mp4"), [0, 0.5, 1.0, 1.5], atol=1e-3)
    pixels = run_ffmpeg("-i", tmp_path / "clip.mp4", "-vf", "scale=1:1,format=gray", "-f", "rawvideo", "-")
    np.testing.assert_allclose(np.frombuffer(pixels, np.uint8), greys, atol=4)
    sound = sound_of(tmp_path / "clip.mp4", tmp_path, RATE_HZ)[: len(tone), 0]
    inner = slice(RATE_HZ // 4, -RATE_HZ // 4)
    assert np.corrcoef(sound[inner], tone[inner])[0, 1] > 0.99


def test_what_cannot_be_written_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="the clip cannot be written as mp4"):
        write_clip_video(np.zeros((1, 3, 8, 8), np.uint8), np.zeros(100, np.float32), RATE_HZ, tmp_path / "no" / "clip")
