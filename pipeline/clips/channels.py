"""What a clip's channels hold, at the file's own rate: bandwidth, constant offset, which of them sound, correlation.

The spectrum is Welch's: the mean over every second block of 2048 samples (43 ms at 48 kHz), each less its mean and
under a Hann window, of the power of all channels; all blocks would cost twice as much. A clip has the blocks that lie
within it as a whole. What lies between packets, where the file has no sound, is in no block.
"""

import bisect
import functools
import math
from typing import Any

import numpy as np
from scipy.fft import rfft

from pipeline.clips.statistics import SILENCE_DB
from pipeline.media.own_sound import BLOCK, OwnSound
from pipeline.media.streams import FULL_SCALE

BANDWIDTH_DB = 50.0  # below the spectrum's peak
SLACK_S = 1e-6


class ChannelMeter:
    """Measures the blocks of one video and gives the levels of its clips, in the order of time."""

    def __init__(self) -> None:
        self._ends_s: list[float] = []
        self._starts_s: list[float] = []
        self._blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []  # means, products, spectrum
        self._rate_hz = self._num_blocks = 0

    def add(self, sound: OwnSound) -> None:
        """Take in the next blocks."""
        self._rate_hz = sound.rate_hz
        waveforms = sound.samples.transpose(0, 2, 1).astype(np.float32)
        waveforms *= np.float32(1 / FULL_SCALE)
        means = waveforms.mean(axis=2)
        waveforms -= means[:, :, None]
        products = waveforms @ waveforms.transpose(0, 2, 1) / BLOCK
        first = self._num_blocks % 2
        self._num_blocks += len(waveforms)
        spectra = rfft(waveforms[first::2] * _window(), axis=2)
        powers: list[np.ndarray | None] = [None] * len(waveforms)
        powers[first::2] = (spectra.real**2 + spectra.imag**2).sum(axis=1)
        self._starts_s += sound.times_s.tolist()
        self._ends_s += (sound.times_s + BLOCK / sound.rate_hz).tolist()
        self._blocks += zip(means, products, powers, strict=True)

    def drop_before(self, start_s: float) -> None:
        """Drop the blocks that begin before `start_s`."""
        num_passed = bisect.bisect_left(self._starts_s, start_s - SLACK_S)
        if num_passed:
            del self._starts_s[:num_passed], self._ends_s[:num_passed], self._blocks[:num_passed]

    def is_known(self, end_s: float) -> bool:
        """Whether no later block lies within a clip that ends at `end_s`."""
        return bool(self._ends_s) and self._ends_s[-1] >= end_s

    def levels(self, start_s: float, end_s: float) -> dict[str, Any]:
        """Of the clip from `start_s` to `end_s`, by field of `schemas.clips.CLIPS`; {} without a whole block.

        Returns:
            `bandwidth_hz`, above which the spectrum stays 50 dB below its peak (None without power); `dc_offset`,
            the mean of the channel in which it is furthest from 0; `num_channels`; `sounding_channels`, those above
            -60 dBFS; `channel_correlation` of the first two, if both sound.
        """
        first = bisect.bisect_left(self._starts_s, start_s - SLACK_S)
        last = bisect.bisect_right(self._ends_s, end_s + SLACK_S)
        if last <= first:
            return {}
        blocks = zip(*self._blocks[first:last], strict=True)
        means, products, powers = (_mean([each for each in of if each is not None]) for of in blocks)
        sounding = np.flatnonzero(products.diagonal() > 10 ** (SILENCE_DB / 10)).tolist()
        peak = float(powers.max(initial=0))
        reached = np.flatnonzero(powers >= peak * 10 ** (-BANDWIDTH_DB / 10))
        both = sounding[:2] == [0, 1]
        return {
            "bandwidth_hz": float(reached[-1]) * self._rate_hz / BLOCK if peak > 0 else None,
            "dc_offset": float(means[np.abs(means).argmax()]),
            "num_channels": len(means),
            "sounding_channels": sounding,
            "channel_correlation": _correlation(products) if both else None,
        }


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    """Of arrays of one shape, without a copy in double precision; empty for none."""
    return (
        np.tensordot(np.full(len(arrays), 1 / len(arrays), np.float32), np.stack(arrays), 1) if arrays else np.zeros(0)
    )


def _correlation(products: np.ndarray) -> float:
    return float(np.clip(products[0, 1] / math.sqrt(products[0, 0] * products[1, 1]), -1, 1))


@functools.cache
def _window() -> np.ndarray:
    return np.hanning(BLOCK + 1)[:-1].astype(np.float32)
