"""What a clip's channels hold, at the file's own rate: bandwidth, constant offset, which of them sound, correlation.

The spectrum is Welch's: the mean over every second block of 2048 samples (43 ms at 48 kHz), each less its mean and
under a Hann window, of the power of all channels; all blocks would cost twice as much. A clip has the blocks that lie
within it as a whole. What lies between packets, where the file has no sound, is in no block.
"""

import bisect
import collections
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

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
        self._groups: collections.deque[_Group] = collections.deque()
        self._rate_hz = self._num_blocks = self._num_dropped = 0

    def add(self, sound: OwnSound) -> None:
        """Take in the next blocks."""
        self._rate_hz = sound.rate_hz
        self._groups.append(_measure(sound.samples, self._num_blocks))
        self._num_blocks += len(sound.samples)
        self._starts_s += sound.times_s.tolist()
        self._ends_s += (sound.times_s + BLOCK / sound.rate_hz).tolist()

    def drop_before(self, start_s: float) -> None:
        """Drop the blocks that begin before `start_s`."""
        num_passed = bisect.bisect_left(self._starts_s, start_s - SLACK_S)
        if num_passed:
            self._num_dropped += num_passed
            del self._starts_s[:num_passed], self._ends_s[:num_passed]
            while self._groups and self._groups[0].end <= self._num_dropped:
                self._groups.popleft()

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
        means, products, powers = self._means(self._num_dropped + first, self._num_dropped + last)
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

    def _means(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the blocks numbered from `first` to before `last`: means, products, powers."""
        within = [group.add_up(first, last) for group in self._groups if group.first < last and group.end > first]
        means, products, powers = (sum(of[1:], of[0]) for of in zip(*(sums for sums, _ in within), strict=True))
        num_powers = sum(count for _, count in within)
        return means / (last - first), products / (last - first), powers / max(1, num_powers)


@dataclass(frozen=True, slots=True)
class _Group:
    """What is known of blocks that were measured together."""

    first: int
    """The number of the first block."""
    means: np.ndarray
    """[b, C]"""
    products: np.ndarray
    """[b, C, C]"""
    powers: np.ndarray
    """[p, BLOCK // 2 + 1] of the blocks with even numbers."""
    sums: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Each of them added up: clips overlap."""

    @property
    def end(self) -> int:
        """The number after that of the last block."""
        return self.first + len(self.means)

    def add_up(self, first: int, last: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
        """The sums over the blocks numbered from `first` to before `last`, and how many have a spectrum."""
        if first <= self.first and self.end <= last:
            return self.sums, len(self.powers)
        begin, end = max(0, first - self.first), min(len(self.means), last - self.first)
        odd = self.first % 2
        powers = self.powers[(begin + 1 - odd) // 2 : (end + 1 - odd) // 2]
        return _sums(self.means[begin:end], self.products[begin:end], powers), len(powers)


def _measure(samples: np.ndarray, first: int) -> _Group:
    """Of [b, BLOCK, C] int16, whose first block has the number `first`."""
    from scipy.fft import rfft  # takes 0.3 s: only measuring needs it

    waveforms = samples.transpose(0, 2, 1).astype(np.float32, order="C")  # else stereo costs six times as much
    waveforms *= np.float32(1 / FULL_SCALE)
    means = waveforms.mean(axis=2)
    waveforms -= means[:, :, None]
    products = waveforms @ waveforms.transpose(0, 2, 1) / BLOCK
    spectra = rfft(waveforms[first % 2 :: 2] * _window(), axis=2)
    powers = (spectra.real**2 + spectra.imag**2).sum(axis=1)
    return _Group(first, means, products, powers, _sums(means, products, powers))


def _sums(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    means, products, powers = (array.sum(axis=0) for array in arrays)
    return means, products, powers


def _correlation(products: np.ndarray) -> float:
    return float(np.clip(products[0, 1] / math.sqrt(products[0, 0] * products[1, 1]), -1, 1))


@functools.cache
def _window() -> np.ndarray:
    return np.hanning(BLOCK + 1)[:-1].astype(np.float32)
