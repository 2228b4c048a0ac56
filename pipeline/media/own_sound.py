"""The sound of a file at its own rate and with its own channels, beside the mono sound that clips hold.

ffmpeg decodes once and writes both: this one as WAV without times. Where its samples lie on the clock is known of the
mono sound, whose packets have times: what is as far from the stream's beginning in one is so in the other.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.media.streams import PlacedSound

BLOCK = 2048  # samples: 43 ms at 48 kHz
BLOCKS_AT_ONCE = 32  # few calls: as they come, one or two at a time, they would cost three times as much
FORMAT = struct.Struct("<HI")  # channels, sample rate
FORMAT_AT = 22  # in a WAV file whose first chunk is its format, as ffmpeg writes it
DATA = b"data"


@dataclass(frozen=True, slots=True)
class OwnSound:
    """Blocks of sound, in the order of the stream."""

    rate_hz: int
    times_s: np.ndarray
    """[b] where each block begins on the clock."""
    samples: np.ndarray
    """[b, BLOCK, C] int16."""


class OwnSoundReader:
    """The bytes of a WAV stream -> blocks with their times.

    Args:
        placed: the mono sound of the same stream.
    """

    def __init__(self, placed: PlacedSound) -> None:
        self._placed = placed
        self._data = bytearray()
        self._num_channels = self._rate_hz = self._first = 0

    def add(self, data: bytes) -> None:
        """Take in bytes of the stream, in any pieces."""
        self._data += data
        if not self._rate_hz and (at := self._data.find(DATA, FORMAT_AT)) >= 0 and len(self._data) >= at + 8:
            self._num_channels, self._rate_hz = FORMAT.unpack_from(self._data, FORMAT_AT)
            del self._data[: at + 8]

    def take(self, least: int = BLOCKS_AT_ONCE) -> Iterator[OwnSound]:
        """The whole blocks whose place is known, if there are so many."""
        if not self._rate_hz:
            return
        per_sample = self._placed.rate_hz / self._rate_hz
        known = int(self._placed.num_placed / per_sample) - self._first
        num_blocks = min(known, len(self._data) // (2 * self._num_channels)) // BLOCK
        if num_blocks < least:
            return
        num_bytes = num_blocks * BLOCK * self._num_channels * 2
        samples = np.frombuffer(bytes(self._data[:num_bytes]), "<i2").reshape(num_blocks, BLOCK, self._num_channels)
        del self._data[:num_bytes]
        numbers = (self._first + BLOCK * np.arange(num_blocks)) * per_sample
        self._first += num_blocks * BLOCK
        shifts = [self._shift(number) for number in numbers]
        yield OwnSound(self._rate_hz, (numbers + shifts) / self._placed.rate_hz, samples)

    def _shift(self, number: float) -> int:
        """How far the sample of that number of the mono sound lies after its number; numbers only grow."""
        shifts = self._placed.shifts
        while len(shifts) > 1 and shifts[1][0] <= number:
            shifts.popleft()
        return shifts[0][1]
