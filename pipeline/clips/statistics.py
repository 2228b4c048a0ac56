"""Statistics of a clip's sound and picture, for filters: level, silence, clipping, noise, brightness, motion.

Design note: a level is that of what can be heard. It is the power within blocks of 20 ms, less each block's mean: a
constant offset has none, and below 22 Hz, where hearing ends, half is left out.
"""

import itertools
import math

import numpy as np

from pipeline.clips.loudness import integrated_loudness
from pipeline.media.streams import FULL_SCALE

FLOOR_DB = -120.0
SILENCE_DB, SILENCE_BLOCK_S = -60.0, 0.02
NOISE_PERCENTILE, SIGNAL_PERCENTILE = 10, 90  # of the blocks' levels
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


def picture_levels(pictures: list[np.ndarray]) -> dict[str, float | None]:
    """Statistics of a clip's frames, by field of `schemas.clips.CLIPS`.

    Args:
        pictures: K small grey pictures [h, w] in [0, 1].
    Returns:
        `luma`, the mean brightness (None without a picture); `motion`, the mean absolute difference between a picture
        and the next; `frozen_fraction`, the share of pictures that differ from the one before by less than
        FROZEN_DIFFERENCE. Both are None for fewer than two pictures.
    """
    motion = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(pictures)]
    return {
        "luma": float(np.mean(pictures)) if pictures else None,
        "motion": float(np.mean(motion)) if motion else None,
        "frozen_fraction": float(np.mean([m < FROZEN_DIFFERENCE for m in motion])) if motion else None,
    }


def _snr(powers: np.ndarray) -> float:
    """In dB, of the powers of blocks."""
    noise, signal = np.percentile(powers, (NOISE_PERCENTILE, SIGNAL_PERCENTILE))
    return _decibel(float(signal)) - _decibel(float(noise))


def _decibel(power: float) -> float:
    return max(FLOOR_DB, 10 * math.log10(power)) if power else FLOOR_DB
