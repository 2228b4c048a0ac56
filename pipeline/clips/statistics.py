"""What a clip's row tells of its sound and its picture, for filters: levels, silence, clipping, brightness, motion."""

import itertools
import math

import numpy as np

from pipeline.clips.loudness import integrated_loudness
from pipeline.media.streams import FULL_SCALE

FLOOR_DB = -120.0
SILENCE_DB, SILENCE_BLOCK_S = -60.0, 0.02
FROZEN_DIFFERENCE = 0.002  # half a grey level of 8 bits, averaged over the picture: less is the codec's doing


def sound_levels(samples: np.ndarray, rate_hz: int) -> dict[str, float | None]:
    """Levels of [n] int16 samples: the fields of `schemas.clips.CLIPS` that tell of sound, none for no samples."""
    if not len(samples):
        return {}
    waveform = samples / FULL_SCALE
    power = np.square(waveform)
    block = round(SILENCE_BLOCK_S * rate_hz)
    blocks = power[: len(power) // block * block].reshape(-1, block).mean(axis=1)
    limit = 10 ** (SILENCE_DB / 10)
    return {
        "rms_db": _decibel(float(power.mean())),
        "peak_db": _decibel(float(power.max())),
        "loudness_lufs": integrated_loudness(waveform, rate_hz),
        "silent_fraction": float(np.mean(blocks < limit)) if len(blocks) else None,
        "clipped_fraction": float(np.mean((samples == FULL_SCALE - 1) | (samples == -FULL_SCALE))),
    }


def picture_levels(pictures: list[np.ndarray]) -> dict[str, float | None]:
    """Brightness and movement of [K] small grey pictures in 0 to 1: the fields of CLIPS that tell of the picture."""
    motion = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(pictures)]
    return {
        "luma": float(np.mean(pictures)) if pictures else None,
        "motion": float(np.mean(motion)) if motion else None,
        "frozen_fraction": float(np.mean([m < FROZEN_DIFFERENCE for m in motion])) if motion else None,
    }


def _decibel(power: float) -> float:
    return max(FLOOR_DB, 10 * math.log10(power)) if power else FLOOR_DB
