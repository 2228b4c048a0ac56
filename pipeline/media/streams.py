"""The bytes of the decoder's pipes -> sound placed by its time stamps, and frames with their times."""

import collections
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.clip_specs import ClipSpec

FULL_SCALE = 32768  # of 16-bit samples: they are -32768 to 32767
CHUNK_SAMPLES = 2**16
SMALL_BYTES = 2**18  # four times what a pipe holds
MONO_16 = np.dtype("<i2")
NO_TIME = -(2**62)
LINE = re.compile(rb"frame:(\d+) +pts:(-?\d+|NOPTS)")
FAR_S = 1.0  # how long after all else a file's last picture may come
MAX_SLIP_S = 0.04  # how far sound may be from its time stamps: a frame at 25 Hz. Containers' rounding is 1 to 10 ms.


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture for one clip spec: its true time and [H, W, 3] uint8 RGB, of the spec's `decoded_size`."""

    spec: str
    time_s: float
    pixels: np.ndarray


class Numbers(collections.deque[int]):
    """The numbers of a pipe's lines such as `frame:3 pts:120000`; NO_TIME where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""
        self._num_added = 0
        self.changed_at: int | None = None
        """How many came before ffmpeg made its filters anew and began to count at 0 again, as it does where the format
        of what is decoded changes; None until then."""

    def add(self, data: bytes) -> None:
        """Take in lines, in any pieces; others are passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for found in filter(None, map(LINE.match, lines)):
            frame, number = found.groups()
            if frame == b"0" and self._num_added and self.changed_at is None:
                self.changed_at = self._num_added
            self._num_added += 1
            self.append(NO_TIME if number == b"NOPTS" else int(number))


class PlacedSound:
    """Sound placed by its time stamps: silence in the gaps, and samples that would overlap are left out.

    ffmpeg can do so itself (`aresample=async`), but it holds a gap's whole silence in memory (3 GB for an hour of
    48 kHz stereo), slips when it cannot, and begins at 0 again when the sound's format changes on the way, as it does
    in broadcasts.

    A time stamp is untrusted. A packet that would leave a gap or overlap is placed once the next one has come: by its
    stamp if the next one lies after it, else where the one before ended. So one wrong stamp moves nothing.

    Args:
        rate_hz: sample rate.
        end_s: sound from this time on is left out.
        sample: what the bytes of one time hold: a 16-bit number, or one number per channel.
    """

    def __init__(self, rate_hz: int, end_s: float, sample: np.dtype = MONO_16) -> None:
        self._data, self._sample = bytearray(), sample
        self.times, self.lengths = Numbers(), Numbers()
        """Of each packet, in samples."""
        self._doubted: tuple[int, np.ndarray, int] | None = None
        self._is_first = True
        self.rate_hz, self._last = rate_hz, round(end_s * rate_hz)
        self._max_slip = round(MAX_SLIP_S * rate_hz)
        self._end = 0
        self._num_taken = self._num_packets = 0
        self.changed_at: int | None = None
        """The first sample after a change of the sound's format, once it has been placed."""
        self.num_placed = 0
        """Samples that have come and whose place is known, those included that are left out."""
        self.shifts: collections.deque[tuple[int, int]] = collections.deque()
        """From the sample of that number in the stream on, how far on the clock its place lies after its number."""
        self.is_over = False
        """Whether sound has come that lies beyond `end_s`."""

    @property
    def end_s(self) -> float:
        """Where the sound so far ends."""
        return self._end / self.rate_hz

    def add(self, data: bytes) -> None:
        """Take in samples, in any pieces."""
        self._data += data

    def take(self) -> Iterator[np.ndarray]:
        """The complete sound, contiguous from time 0 on: few chunks [n] of samples. Gaps are chunks of their own."""
        batch: list[np.ndarray] = []
        for samples in self._placed():
            if batch and (is_gap(samples) or sum(map(len, batch)) >= CHUNK_SAMPLES):
                yield np.concatenate(batch)
                batch.clear()
            if is_gap(samples):
                yield samples
            else:
                batch.append(samples)
        if batch:
            yield np.concatenate(batch)

    def finish(self) -> Iterator[np.ndarray]:
        """What is left at the end of the stream."""
        yield from self.take()
        if self._doubted is not None:
            yield from self._settle(NO_TIME)

    def _placed(self) -> Iterator[np.ndarray]:
        while self.times and self.lengths and len(self._data) >= self._sample.itemsize * self.lengths[0]:
            start, length = self.times.popleft(), self.lengths.popleft()
            if self._num_packets == self.times.changed_at:
                self.changed_at = self._num_taken
            self._num_packets += 1
            first, self._num_taken = self._num_taken, self._num_taken + length
            num_bytes = self._sample.itemsize * length
            samples = np.frombuffer(bytes(self._data[:num_bytes]), dtype=self._sample)
            del self._data[:num_bytes]
            if self._doubted is not None:
                yield from self._settle(start)
            if self._is_first or abs(start - self._end) > self._max_slip:
                self._doubted = start, samples, first
                self._is_first = False
            else:
                yield from self._place(self._end, samples, first)

    def _settle(self, next_start: int) -> Iterator[np.ndarray]:
        """Place the doubted packet, now that the next one's time is known; NO_TIME at the end of the stream."""
        assert self._doubted is not None
        (start, samples, first), self._doubted = self._doubted, None
        end = self._end + len(samples)  # where the one before ended and this one follows
        agrees = NO_TIME not in (start, next_start) and start + len(samples) - self._max_slip <= next_start
        if not agrees and not self._end:  # of the stream's first two, which contradict each other, the more likely
            likely = [start] * (start != NO_TIME) + [next_start - len(samples)] * (next_start != NO_TIME)
            start = min(likely, key=abs, default=0)
        elif self._end and (not agrees or abs(next_start - end) <= self._max_slip):
            start = self._end
        yield from self._place(start, samples, first)

    def _place(self, start: int, samples: np.ndarray, first: int) -> Iterator[np.ndarray]:
        """Place samples, of which the first has the number `first` in the stream, at `start` on the clock."""
        if not self.shifts or self.shifts[-1][1] != start - first:
            self.shifts.append((first, start - first))
        self.num_placed = first + len(samples)
        if start >= self._last:
            self.is_over = True
            return
        gap = start - self._end
        if gap > 0:
            yield np.broadcast_to(np.zeros((), self._sample.base), (gap, *self._sample.shape))
        samples = samples[max(0, -gap) : self._last - start]
        self._end += max(0, gap) + len(samples)
        if len(samples):
            yield samples


def is_gap(chunk: np.ndarray) -> bool:
    """Whether a chunk of sound is the silence between time stamps: a view of one zero, which takes no memory."""
    return not any(chunk.strides)


class Gaps:
    """Where the decoded pictures lie too far apart: lines with the time of the earlier picture, in microseconds.

    Args:
        end_s: gaps that begin from this time on do not matter.
    """

    def __init__(self, end_s: float) -> None:
        self._end_s, self._starts = end_s, Numbers()
        self.found = False
        """Whether there is one before the end."""

    def add(self, data: bytes) -> None:
        """Take in lines, in any pieces."""
        self._starts.add(data)
        while self._starts:
            self.found |= NO_TIME < self._starts.popleft() < self._end_s * 1e6


class TimedFrames:
    """Frames put together from their pixels and their times.

    A time stamp is untrusted. A frame is given once the next one has come: frames come in the order of time, so one
    that is later than those after it, or earlier than those around it, has a wrong time and is left out.

    Args:
        name: of the clip spec.
        spec: size of the frames.
        end_s: frames from this time on are left out.
    """

    def __init__(self, name: str, spec: ClipSpec, end_s: float) -> None:
        self._name, self._end_s = name, end_s
        self._shape = (*spec.decoded_size, 3)
        self._whole: collections.deque[np.ndarray] = collections.deque()
        self._next, self._filled = self._empty(), 0
        self._last_s = 0.0
        self.times = Numbers()
        """Of each frame, in microseconds."""
        self._held: list[Frame] = []  # one, or two of which the second has the earlier time
        self._given_s = -math.inf
        self._num_beyond = 0

    @property
    def is_over(self) -> bool:
        """Whether frames have come that lie beyond `end_s`: two in a row, because the time of one may be wrong."""
        return self._num_beyond > 1

    def add(self, data: bytes) -> None:
        """Take in pixels, RGB, in any pieces."""
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + len(self._next) - self._filled)
            self._next[self._filled : self._filled + end - begin] = np.frombuffer(data, np.uint8)[begin:end]
            self._fill(end - begin)
            begin = end

    def read(self, fd: int) -> bool:
        """Take in pixels from a pipe, large pictures right to their place; False at its end."""
        if len(self._next) <= SMALL_BYTES:
            data = os.read(fd, SMALL_BYTES)
            self.add(data)
            return bool(data)
        length = os.readv(fd, [self._next[self._filled :].data])
        self._fill(length)
        return length > 0

    def _fill(self, length: int) -> None:
        self._filled += length
        if self._filled == len(self._next):
            self._whole.append(self._next)
            self._next, self._filled = self._empty(), 0

    def _empty(self) -> np.ndarray:
        return np.empty(math.prod(self._shape), np.uint8)

    def take(self) -> Iterator[Frame]:
        """The frames whose pixels and times have both come, and whose time is confirmed by the next."""
        while self.times and self._whole:
            pixels = self._whole.popleft()
            time_us = self.times.popleft()
            if time_us != NO_TIME:  # a frame without a time has that of the one before
                self._last_s = time_us / 1e6
            frame = Frame(self._name, self._last_s, pixels.reshape(self._shape))
            self._num_beyond = self._num_beyond + 1 if frame.time_s >= self._end_s else 0
            if self._given_s < frame.time_s < self._end_s:
                yield from self._order(frame)

    def finish(self, end_s: float) -> Iterator[Frame]:
        """What is left at the end of the stream.

        Args:
            end_s: where all else ends. The last frame, which no other confirms, may be FAR_S later.
        """
        yield from self.take()
        if self._held and (self._given_s < 0 or self._held[-1].time_s <= max(end_s, self._given_s) + FAR_S):
            yield self._held[-1]
        self._held.clear()

    def _order(self, frame: Frame) -> Iterator[Frame]:
        """Give the frame that is held if the time of this one confirms it."""
        if not self._held or (len(self._held) == 1 and frame.time_s < self._held[0].time_s):
            self._held.append(frame)
            return
        # of two that contradict each other, the one is right after which this one lies
        confirmed = [held for held in self._held if held.time_s <= frame.time_s][:1]
        self._held = [frame] if confirmed else [self._held[-1], frame]
        for held in confirmed:
            self._given_s = held.time_s
            yield held
