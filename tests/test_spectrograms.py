"""Spectrograms: a tone is a line at its frequency, as bright as it is loud; silence is black."""

import numpy as np
import pytest

from pipeline.reports.spectrograms import HEIGHT, HOP, WINDOW, draw_spectrogram, row_hz

RATE_HZ = 16000


def luma(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("tone_hz", [250.0, 1000.0, 6000.0])
def test_a_tone_is_brightest_at_the_row_of_its_frequency(tone_hz: float) -> None:
    t = np.arange(RATE_HZ) / RATE_HZ
    picture = luma(draw_spectrogram(0.1 * np.sin(2 * np.pi * tone_hz * t), RATE_HZ))
    assert picture.shape == (HEIGHT, (RATE_HZ - WINDOW) // HOP + 1)
    edges = row_hz(RATE_HZ)
    row = HEIGHT - 1 - int(np.argmax(picture[:, 5]))  # rows count from the top
    bin_hz = RATE_HZ / WINDOW
    assert edges[row] - bin_hz <= tone_hz <= edges[row + 1] + bin_hz
    assert (edges[0], edges[-1]) == (0.0, pytest.approx(RATE_HZ / 2))


def test_a_louder_sound_is_brighter_and_silence_is_black() -> None:
    t = np.arange(RATE_HZ) / RATE_HZ
    peaks = [luma(draw_spectrogram(gain * np.sin(2 * np.pi * 1000 * t), RATE_HZ)).max() for gain in (1e-3, 1e-2, 0.1)]
    assert sorted(peaks) == peaks
    assert len(set(peaks)) == 3
    assert draw_spectrogram(np.zeros(RATE_HZ), RATE_HZ).max() == 0
    assert draw_spectrogram(np.zeros(0), RATE_HZ).shape == (HEIGHT, 1, 3)
