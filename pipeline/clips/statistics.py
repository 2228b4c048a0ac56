"""Statistics of a clip's sound and picture, for filters: level, silence, clipping, noise, brightness, motion.

Design note: a level is that of what can be heard. It is the power within blocks of 20 ms, less each block's mean: a
constant offset has none, and below 22 Hz, where hearing ends, half is left out.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from pipeline.clips.loudness import integrated_loudness
from pipeline.media.streams import FULL_SCALE

FLOOR_DB = -120.0
SILENCE_DB, SILENCE_BLOCK_S = -60.0, 0.02
NOISE_PERCENTILE, SIGNAL_PERCENTILE = 10, 90  # of the blocks' levels
DARK, MIN_DARK = 25, 0.98  # of 255, and of a black picture's pixels: as in ffmpeg's blackdetect
FROZEN_DIFFERENCE = 0.002  # half a grey level of 8 bits, averaged over the picture: a codec alone changes less


def sound_levels(samples: np.ndarray, rate_hz: int) -> dict[str, float | None]:
    """Statistics of a sound, by field of `schemas.clips.CLIPS`.

    Args:
        samples: [n] int16, mono.
        rate_hz: their sample rate.
    Returns:
        {} for no samples; else `rms_db`, the level above 22 Hz, and `peak_db`, the largest sample, in dBFS (a square
        wave of full scale is 0, floor -120), `loudness_lufs` (BS.1770-4, floor -70), `silent_fraction`, the share of
        whole blocks of 20 ms below -60 dBFS, `clipped_fraction`, the share of samples at either end of the range, and
        `snr_db`, how far the 90th percentile of the blocks' levels lies above the 10th, 0 to 120: the signal-to-noise
        ratio of sound that pauses, where the noise is heard alone. Shares of blocks are None for less than one.
    """
    if not len(samples):
        return {}
    waveform = samples / FULL_SCALE
    block = round(SILENCE_BLOCK_S * rate_hz)
    whole = len(waveform) // block * block
    blocks = waveform[:whole].reshape(-1, block).var(axis=1)
    rest = waveform[whole:].var() if whole < len(waveform) else 0.0
    limit = 10 ** (SILENCE_DB / 10)
    return {
        "rms_db": _decibel(float(blocks.sum() * block + rest * (len(waveform) - whole)) / len(waveform)),
        "peak_db": _decibel(float(np.abs(waveform).max()) ** 2),
        "loudness_lufs": integrated_loudness(waveform, rate_hz),
        "silent_fraction": float(np.mean(blocks < limit)) if len(blocks) else None,
        "clipped_fraction": float(np.mean((samples == FULL_SCALE - 1) | (samples == -FULL_SCALE))),
        "snr_db": _snr(blocks) if len(blocks) else None,
    }


@dataclass(frozen=True, slots=True)
class Look:
    """What statistics need of a picture."""

    small: np.ndarray
    """[h, w] grey in 0 to 1, of every fourth row and column."""
    sharpness: float
    brightest_rows: np.ndarray
    """[H] uint8 the brightest value in each row."""
    brightest_columns: np.ndarray
    is_black: bool


def look_at(pixels: np.ndarray) -> Look:
    """Of [H, W, 3] uint8."""
    red, green, blue = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # a copy, and all that follows is in one piece
    brightness = np.maximum(np.maximum(red, green), blue)
    is_black = np.count_nonzero(brightness <= DARK) >= MIN_DARK * brightness.size
    total = np.add(red, green, dtype=np.int16) + blue
    small = total[::4, ::4].astype(np.float32) / np.float32(3 * 255)
    return Look(small, _sharpness(total), brightness.max(axis=1), brightness.max(axis=0), bool(is_black))


def _sharpness(total: np.ndarray) -> float:
    """Variance of the Laplacian (four neighbours less four times the pixel) of a picture in grey of 0 to 255.

    Args:
        total: [H, W] int16 sum of the three colours, which fits eight times into 16 bits.
    """
    laplacian = total[:-2, 1:-1] + total[2:, 1:-1]
    laplacian += total[1:-1, :-2]
    laplacian += total[1:-1, 2:]
    laplacian -= total[1:-1, 1:-1] << 2
    return float(laplacian.astype(np.float32).var()) / 9


def picture_levels(looks: list[Look], are_whole: bool = True) -> dict[str, float | None]:
    """Statistics of a clip's frames, by field of `schemas.clips.CLIPS`.

    Args:
        looks: of the K frames.
        are_whole: whether they are whole pictures; else nothing is said of black.
    Returns:
        `sharpness`, the mean of the frames', and `luma`, the mean brightness; `motion`, the mean absolute difference
        between a picture and the next; `frozen_fraction`, the share of pictures that differ from the one before by less
        than FROZEN_DIFFERENCE; `black_fraction`, the share of frames that are black; `letterbox_fraction`, the share of
        the picture in rows and columns at its edges that are dark in all frames. None where there are too few pictures:
        two for `motion` and `frozen_fraction`, one that is not dark for `letterbox_fraction`.
    """
    pictures = [look.small for look in looks]
    motion = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(pictures)]
    levels = {
        "luma": float(np.mean(pictures)) if pictures else None,
        "sharpness": float(np.mean([look.sharpness for look in looks])) if looks else None,
        "motion": float(np.mean(motion)) if motion else None,
        "frozen_fraction": float(np.mean([m < FROZEN_DIFFERENCE for m in motion])) if motion else None,
    }
    if are_whole and looks:
        rows = _extent(np.max([look.brightest_rows for look in looks], axis=0))
        columns = _extent(np.max([look.brightest_columns for look in looks], axis=0))
        levels["black_fraction"] = float(np.mean([look.is_black for look in looks]))
        levels["letterbox_fraction"] = 1 - rows * columns if rows * columns else None
    return levels


def _extent(brightest: np.ndarray) -> float:
    """The share from the first to the last that is not dark; 0 for none."""
    places = np.flatnonzero(brightest > DARK)
    return float(places[-1] + 1 - places[0]) / len(brightest) if len(places) else 0.0


def _snr(powers: np.ndarray) -> float:
    """In dB, of the powers of blocks."""
    noise, signal = _percentiles(powers, NOISE_PERCENTILE, SIGNAL_PERCENTILE)
    return _decibel(signal) - _decibel(noise)


def _percentiles(values: np.ndarray, *percents: float) -> list[float]:
    """As numpy's, at a twentieth of its cost for few values."""
    ordered = np.sort(values).tolist()
    places = [percent / 100 * (len(ordered) - 1) for percent in percents]
    pairs = [(place % 1, ordered[math.floor(place)], ordered[math.ceil(place)]) for place in places]
    return [low + share * (high - low) for share, low, high in pairs]


def _decibel(power: float) -> float:
    return max(FLOOR_DB, 10 * math.log10(power)) if power else FLOOR_DB
