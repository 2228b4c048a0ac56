"""Where the shots of a video change, of its small pictures.

Every picture that is decoded is looked at, whatever frames a clip spec has: a cut lies between two frames of a second's
distance, and looks there like anything that moves.
"""

import bisect

import numpy as np

from pipeline.media.cuts import CutDetector
from pipeline.media.frame_buffer import TICK_SLACK_S
from pipeline.media.streams import Frame

PICTURES_AT_ONCE = 32  # few calls


class ShotMeter:
    """Looks at the pictures of one video, and finds the cuts in its clips, in the order of time."""

    def __init__(self) -> None:
        self._cuts = CutDetector()
        self._waiting: list[Frame] = []
        self._cuts_s: list[float] = []
        self.last_s = -1.0
        """Time of the last picture that was looked at."""

    def add(self, frame: Frame) -> None:
        """Take in the next picture."""
        self._waiting.append(frame)
        if len(self._waiting) == PICTURES_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Look at the pictures that wait."""
        if not self._waiting:
            return
        times_s = [frame.time_s for frame in self._waiting]
        pictures = np.stack([frame.pixels for frame in self._waiting])
        self._waiting.clear()
        self._cuts_s += [at_s for at_s, is_cut in zip(times_s, self._cuts.find(pictures), strict=True) if is_cut]
        self.last_s = times_s[-1]

    def drop_before(self, start_s: float) -> None:
        """Drop the cuts before `start_s`."""
        del self._cuts_s[: bisect.bisect_left(self._cuts_s, start_s - TICK_SLACK_S)]

    def first_cut_s(self, start_s: float, end_s: float) -> float | None:
        """The first cut inside a clip; a clip that begins or ends with a cut has none there."""
        place = bisect.bisect_right(self._cuts_s, start_s + TICK_SLACK_S)
        cuts_s = self._cuts_s[place : place + 1]
        return cuts_s[0] if cuts_s and cuts_s[0] < end_s - TICK_SLACK_S else None

    def num_cuts(self, start_s: float, end_s: float) -> int:
        """The cuts inside a clip."""
        begin = bisect.bisect_right(self._cuts_s, start_s + TICK_SLACK_S)
        return max(0, bisect.bisect_left(self._cuts_s, end_s - TICK_SLACK_S) - begin)
