"""The sound of a video that a clip may still need, from the first sample that is still held on.

Chunks are kept as they come and joined only where a span is taken, so that several clip specs hold the same samples
once, and a long silence, which is a view of one zero, takes no memory.
"""

import collections

import numpy as np

from pipeline.media.frame_buffer import MAX_LEAD_S
from pipeline.media.streams import is_gap


class SoundBuffer:
    """Contiguous sound by sample, as chunks [n] int16 in the order of time."""

    def __init__(self) -> None:
        self._chunks: collections.deque[np.ndarray] = collections.deque()
        self.start = 0
        """The first sample that is held, on the video's clock."""
        self.end = 0
        """The sample after the last one that has come."""

    def add(self, chunk: np.ndarray) -> None:
        """Append a chunk."""
        self._chunks.append(chunk)
        self.end += len(chunk)

    def span(self, start: int, length: int) -> np.ndarray:
        """[n] the samples from `start` on; n <= length, less where some have not come or are no longer held."""
        pieces, begin = [np.zeros(0, np.int16)], self.start
        for chunk in self._chunks:
            if begin >= start + length:
                break
            if begin + len(chunk) > start:
                pieces.append(chunk[max(0, start - begin) : start + length - begin])
            begin += len(chunk)
        return np.concatenate(pieces)

    def leads(self, end_s: float, rate_hz: int) -> bool:
        """Whether so much sound has come after `end_s` that frames up to there are not waited for any longer."""
        limit, start, begin = MAX_LEAD_S * rate_hz, end_s * rate_hz, self.start
        if self.end <= start + limit:
            return False
        received = 0.0  # the silence of gaps is not counted
        for chunk in self._chunks:
            begin += len(chunk)
            received += 0 if is_gap(chunk) else max(0, min(len(chunk), begin - start))
        return received > limit

    def drop_before(self, start: int) -> None:
        """Drop the samples before `start`."""
        while self._chunks and self.start < start:
            passed = min(start - self.start, len(self._chunks[0]))
            self.start += passed
            if passed == len(self._chunks[0]):
                self._chunks.popleft()
            else:
                self._chunks[0] = self._chunks[0][passed:]
