"""The sound of a file at its own rate and with its own channels, beside the mono sound that clips hold.

ffmpeg decodes once and writes both: this one as WAV without times. Where its samples lie on the clock is known of the
mono sound, whose packets have times: what is as far from the stream's beginning in one is so in the other. That holds
until the sound's format changes, as it does in broadcasts: what follows is left out. Of some streams whose sample rate
changes, such as of MPEG layer 2, nothing is left: ffmpeg has seen the later rate when it begins, makes its filters anew
after the first packet, and resamples all sound to that rate, so that its bandwidth would be that of another sound.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.media.streams import PlacedSound

BLOCK = 2048  # samples: 43 ms at 48 kHz
PIECE = 4 * BLOCK  # in which ffmpeg hands them over
# Few calls: as they come, one or two at a time, they would cost three times as much. And always as many, but for the
# last: so no sum over them depends on how they came.
BLOCKS_AT_ONCE = 32
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

    def take(self) -> Iterator[OwnSound]:
        """The whole blocks whose place is known, BLOCKS_AT_ONCE each time."""
        if not self._rate_hz:
            return
        last = self._change()
        # a piece behind the mono sound: what comes in place of a lost piece is not taken for it
        known = self._number(self._placed.num_placed) - PIECE if last is None else last
        while (num_blocks := self._num_blocks(known)) >= BLOCKS_AT_ONCE:
            yield self._take(BLOCKS_AT_ONCE)
        if last is not None:
            if num_blocks and self._first + num_blocks * BLOCK == last:
                yield self._take(num_blocks)
            del self._data[max(0, last - self._first) * self._sample_bytes :]

    def finish(self) -> Iterator[OwnSound]:
        """What is left at the end of the stream."""
        yield from self.take()
        if self._rate_hz and self._change() is None:
            known = self._number(self._placed.num_placed)
            while num_blocks := min(self._num_blocks(known), BLOCKS_AT_ONCE):
                yield self._take(num_blocks)

    @property
    def _sample_bytes(self) -> int:
        return 2 * self._num_channels

    def _number(self, of_mono: int) -> int:
        """The number of the sample that sounds with one of the mono sound."""
        return int(of_mono * self._rate_hz / self._placed.rate_hz)

    def _change(self) -> int | None:
        """Where the last piece before a change of the format ends; what came after it was lost."""
        changed_at = self._placed.changed_at
        return None if changed_at is None else self._number(changed_at) // PIECE * PIECE

    def _num_blocks(self, known: int) -> int:
        """Whole blocks that have come, up to the sample of the number `known`."""
        return max(0, min(known - self._first, len(self._data) // self._sample_bytes)) // BLOCK

    def _take(self, num_blocks: int) -> OwnSound:
        num_bytes = num_blocks * BLOCK * self._sample_bytes
        samples = np.frombuffer(bytes(self._data[:num_bytes]), "<i2").reshape(num_blocks, BLOCK, self._num_channels)
        del self._data[:num_bytes]
        numbers = (self._first + BLOCK * np.arange(num_blocks)) * (self._placed.rate_hz / self._rate_hz)
        self._first += num_blocks * BLOCK
        shifts = [self._shift(number) for number in numbers]
        return OwnSound(self._rate_hz, (numbers + shifts) / self._placed.rate_hz, samples)

    def _shift(self, number: float) -> int:
        """How far the sample of that number of the mono sound lies after its number; numbers only grow."""
        shifts = self._placed.shifts
        while len(shifts) > 1 and shifts[1][0] <= number:
            shifts.popleft()
        return shifts[0][1]
