"""The bytes of the decoder's pipes -> sound placed by its time stamps, and frames with their times."""

import collections
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.clip_specs import ClipSpec

FULL_SCALE = 32768  # of 16-bit samples: they are -32768 to 32767
CHUNK_SAMPLES = 2**16
MAX_SLIP_S = 0.04  # how far sound may be from its time stamps: a frame at 25 Hz. Containers' rounding is 1 to 10 ms.


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture for one clip spec: its true time and [H, W, 3] uint8 RGB."""

    spec: str
    time_s: float
    pixels: np.ndarray


class PlacedSound:
    """Sound placed by its time stamps: silence in the gaps, and samples that would overlap are left out.

    ffmpeg can do so itself (`aresample=async`), but it holds a gap's whole silence in memory (3 GB for an hour of
    48 kHz stereo), slips when it cannot, and begins at 0 again when the sound's format changes on the way, as it does
    in broadcasts. The lines are `stream, dts, pts, duration, size, checksum`, one per packet, in samples and bytes.
    """

    LINE = re.compile(rb"0, *-?\d+, *(-?\d+), *\d+, *(\d+),")

    def __init__(self, rate_hz: int) -> None:
        self._data, self._rest = bytearray(), b""
        self._packets: collections.deque[tuple[int, int]] = collections.deque()  # time, length
        self._end = 0
        self._max_slip = 0  # the first packet is placed exactly
        self._later_max_slip = round(MAX_SLIP_S * rate_hz)

    def add(self, data: bytes) -> None:
        """Take in samples, 16-bit little-endian."""
        self._data += data

    def add_times(self, data: bytes) -> None:
        """Take in lines of times, in any pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for found in filter(None, map(self.LINE.match, lines)):
            self._packets.append((int(found.group(1)), int(found.group(2)) // 2))

    def take(self) -> Iterator[np.ndarray]:
        """The complete sound, contiguous from time 0 on: few chunks [n] int16, none much above CHUNK_SAMPLES."""
        batch: list[np.ndarray] = []
        for samples in self._placed():
            batch.append(samples)
            if sum(map(len, batch)) >= CHUNK_SAMPLES:
                yield np.concatenate(batch)
                batch.clear()
        if batch:
            yield np.concatenate(batch)

    def _placed(self) -> Iterator[np.ndarray]:
        while self._packets and len(self._data) >= 2 * self._packets[0][1]:
            start, length = self._packets.popleft()
            samples = np.frombuffer(bytes(self._data[: 2 * length]), dtype="<i2")
            del self._data[: 2 * length]
            gap = start - self._end
            if abs(gap) > self._max_slip:
                for done in range(0, gap, CHUNK_SAMPLES):
                    yield np.zeros(min(CHUNK_SAMPLES, gap - done), dtype="<i2")
                samples = samples[max(0, -gap) :]
                self._end += max(0, gap)
            self._end += len(samples)
            self._max_slip = self._later_max_slip
            yield samples


class TimedFrames:
    """Frames put together from their pixels and their times: lines such as `frame:3 pts:120000`, in microseconds."""

    LINE = re.compile(rb"frame:\d+ +pts:(-?\d+|NOPTS)")

    def __init__(self, name: str, spec: ClipSpec) -> None:
        self._name = name
        self._shape = (spec.frame_height, spec.frame_width, 3)
        self._data, self._rest = bytearray(), b""
        self._times: collections.deque[float] = collections.deque()
        self._last_s = 0.0

    def add(self, data: bytes) -> None:
        """Take in pixels, RGB."""
        self._data += data

    def add_times(self, data: bytes) -> None:
        """Take in lines of times, in any pieces."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for found in filter(None, map(self.LINE.match, lines)):
            if found.group(1) != b"NOPTS":  # a frame without a time has that of the one before
                self._last_s = int(found.group(1)) / 1e6
            self._times.append(self._last_s)

    def take(self) -> Iterator[Frame]:
        """The frames whose pixels and times have both come."""
        size = math.prod(self._shape)
        while self._times and len(self._data) >= size:
            pixels = np.frombuffer(bytes(self._data[:size]), dtype=np.uint8)
            del self._data[:size]
            yield Frame(self._name, self._times.popleft(), pixels.reshape(self._shape))
