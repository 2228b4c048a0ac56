"""A sound as a picture: time to the right, frequency upwards on the mel scale, level as colour.

All pictures have one scale of levels, so a separated sound that is half as loud looks so beside its mixture. The
colours get brighter all the way, which the eye reads as level, also without colour vision.
"""

import numpy as np

WINDOW, HOP = 512, 256  # samples; at 16 kHz 32 ms every 16 ms
HEIGHT = 96  # rows of a picture
FLOOR_DB, TOP_DB = -80.0, -10.0  # of a sine's level re full scale; below black, above the brightest
# RGB of levels evenly from FLOOR_DB to TOP_DB: their luma rises from 0 to 0.95
COLOURS = np.array([(0, 0, 0), (48, 22, 92), (142, 36, 98), (226, 92, 52), (250, 180, 60), (255, 250, 210)], float)


def draw_spectrogram(waveform: np.ndarray, rate_hz: int) -> np.ndarray:
    """[HEIGHT, frames, 3] uint8 RGB of a sound.

    Args:
        waveform: [T] linear amplitude, full scale 1; at least a window long, else silence follows.
        rate_hz: its sample rate.
    """
    padded = np.pad(waveform.astype(np.float64), (0, max(0, WINDOW - len(waveform))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    hann = np.hanning(WINDOW + 1)[:-1]
    amplitude = np.abs(np.fft.rfft(windows * hann, axis=1)) * 2 / hann.sum()  # of a sine: its amplitude
    level_db = 20 * np.log10(np.maximum(_at_rows(amplitude, rate_hz), 1e-9))
    place = np.clip((level_db - FLOOR_DB) / (TOP_DB - FLOOR_DB), 0, 1) * (len(COLOURS) - 1)
    picture = np.stack([np.interp(place, np.arange(len(COLOURS)), COLOURS[:, i]) for i in range(3)], axis=-1)
    return picture.transpose(1, 0, 2)[::-1].round().astype(np.uint8)


def row_hz(rate_hz: int) -> np.ndarray:
    """[HEIGHT + 1] edges of the rows from the lowest one up, evenly on the mel scale from 0 Hz to half the rate."""
    top_mel = 2595 * np.log10(1 + rate_hz / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top_mel, HEIGHT + 1) / 2595) - 1))


def _at_rows(amplitude: np.ndarray, rate_hz: int) -> np.ndarray:
    """[frames, HEIGHT] the strongest bin within each row; the nearest one where a row is narrower than a bin."""
    edges = row_hz(rate_hz) * WINDOW / rate_hz
    first = np.minimum(np.floor(edges[:-1]).astype(int), amplitude.shape[1] - 1)
    last = np.minimum(np.maximum(np.ceil(edges[1:]).astype(int), first + 1), amplitude.shape[1])
    return np.stack([amplitude[:, a:b].max(axis=1) for a, b in zip(first, last, strict=True)], axis=1)
