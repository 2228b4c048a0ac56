"""The frames of a video that a clip may still need, by tick: tick k is the time k / frame rate + frame offset.

Cutting keeps encoded frames, separating keeps pixels: the buffer holds any value per frame. Frames come in the order of
their time; what lies before the next clip is dropped, so that memory depends on the clip's length and on how the
container interleaves sound and picture, not on the video's length.

Frames before the first tick count as tick -1, which a tick without a frame of its own may show.

Design note: a tick without a frame shows the last frame before it, because a picture that does not change sends none.
"""

import bisect
import math
from typing import Generic, TypeVar

from pipeline.clip_specs import ClipSpec

T = TypeVar("T")
TICK_SLACK_S = 0.001  # frame times are rounded by containers: 0.9996 s is tick 1 of a 1 fps grid
# How much of one stream may have come beyond a clip's end before the other stream counts as ended: bounds what is held.
# What has come is counted, not what its time stamps span: they may jump while the other stream is still in the pipes.
MAX_LEAD_S = 120.0


def first_old_tick_s(spec: ClipSpec, last_s: float) -> float:
    """The first tick that shows a frame more than half a tick old, if the last one is of `last_s`, in seconds.

    >>> first_old_tick_s(ClipSpec(frame_rate_hz=4.0), 1.0), first_old_tick_s(ClipSpec(frame_rate_hz=4.0), 1.2)
    (1.25, 1.5)
    """
    tick = math.floor((last_s + TICK_SLACK_S - spec.frame_offset_s) * spec.frame_rate_hz) + 1
    ticks_s = ((tick + later) / spec.frame_rate_hz + spec.frame_offset_s for later in range(2))
    return next(tick_s for tick_s in ticks_s if tick_s - last_s > 0.5 / spec.frame_rate_hz)


class FrameBuffer(Generic[T]):
    """Frames by tick, each as a value of the caller's choice.

    Args:
        spec: the clip spec, for the frame rate and the length of a clip.
    """

    def __init__(self, spec: ClipSpec) -> None:
        self._spec = spec
        self._by_tick: dict[int, T] = {}
        self.last_s = -math.inf
        """Time of the latest frame in seconds; -inf before the first."""

    def add(self, time_s: float, value: T) -> None:
        """Keep the value of the frame at `time_s` (a tick's first frame wins)."""
        offset_s = self._spec.frame_offset_s
        tick = max(-1, math.floor((time_s + TICK_SLACK_S - offset_s) * self._spec.frame_rate_hz))
        self._by_tick.setdefault(tick, value)
        self.last_s = max(self.last_s, time_s)

    def is_complete(self, start_s: float) -> bool:
        """Whether no later frame can change the clip that starts at `start_s`: its last tick, if any, is reached."""
        if not self._spec.num_frames:
            return True
        last_tick_s = self._ticks(start_s)[-1] / self._spec.frame_rate_hz + self._spec.frame_offset_s
        return self.last_s + TICK_SLACK_S >= last_tick_s

    def leads(self, end_s: float) -> bool:
        """Whether so many frames have come after `end_s` that sound up to there is not waited for any longer."""
        limit = MAX_LEAD_S * self._spec.frame_rate_hz
        if len(self._by_tick) <= limit:
            return False
        end_tick = (end_s - self._spec.frame_offset_s) * self._spec.frame_rate_hz
        return sum(tick >= end_tick for tick in self._by_tick) > limit

    def shown(self, start_s: float) -> list[T | None]:
        """[K] the value at each tick of the clip that starts at `start_s`: the tick's own, else the last one before it.

        None where no frame is known up to the tick.
        """
        known = sorted(self._by_tick)
        places = (bisect.bisect_right(known, tick) for tick in self._ticks(start_s))
        return [self._by_tick[known[place - 1]] if place else None for place in places]

    def first(self) -> T | None:
        """The earliest value that is held."""
        return self._by_tick[min(self._by_tick)] if self._by_tick else None

    def drop_before(self, start_s: float) -> None:
        """Drop what no clip from `start_s` on needs. The last of the earlier frames stays: a tick may lack its own."""
        if not self._spec.num_frames:
            return
        first_tick = self._ticks(start_s)[0]
        earlier = [tick for tick in self._by_tick if tick < first_tick]
        for tick in sorted(earlier)[:-1]:
            del self._by_tick[tick]

    def _ticks(self, start_s: float) -> range:
        """The ticks within a clip: the first is the first to lie in it, since a start may lie between two."""
        first = math.ceil((start_s - self._spec.frame_offset_s) * self._spec.frame_rate_hz - 1e-6)
        return range(first, first + self._spec.num_frames)
