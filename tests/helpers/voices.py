"""A voice that no file is needed for."""

import numpy as np

from pipeline.clips.speech import RATE_HZ


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """[n] int16: a voice as its physics has it: pulses of a wandering pitch through formants, in syllables."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 130 + 30 * np.sin(2 * np.pi * 0.7 * time_s) - 8 * time_s
    vowels = rng.permuted(
        np.tile([[700, 1200, 2500], [300, 2200, 2900], [350, 800, 2300], [500, 1700, 2500]], (8, 1)), axis=0
    )
    of_time = vowels[(time_s * 4).astype(int) % len(vowels)].T
    phase = np.cumsum(pitch_hz) / RATE_HZ
    sound = np.zeros(len(time_s))
    for harmonic in range(1, 30):
        formants = sum(np.exp(-(((harmonic * pitch_hz - formant) / 150) ** 2)) for formant in of_time)
        sound += (0.02 + formants) * np.sin(2 * np.pi * harmonic * phase) / harmonic**0.5
    syllables = np.sin(np.pi * 4 * time_s) ** 2
    return np.round(6000 * syllables * sound + 20 * rng.standard_normal(len(time_s))).astype(np.int16)
