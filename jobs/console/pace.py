"""The rate of work, and how long the rest of it takes at that rate."""

import time


class Pace:
    """How fast steps are done and how long the rest takes, from the second result on: before the first, workers start.

    Args:
        total: steps to do.
    """

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self._first: tuple[float, int] | None = None  # time of the first result, and the steps done by then
        self._last_s = 0.0

    def add(self, steps: int, are_new: bool = True) -> None:
        """Count steps that are done now, or with are_new=False by an earlier run: these do not count in the rate."""
        self.done += steps
        self._last_s = time.monotonic()
        if self._first is None or not are_new:
            self._first = self._last_s, self.done

    @property
    def per_s(self) -> float | None:
        """Steps per second since the first result; None before the second."""
        if self._first is None or self.done == self._first[1] or self._last_s <= self._first[0]:
            return None
        return (self.done - self._first[1]) / (self._last_s - self._first[0])

    @property
    def to_go_s(self) -> float | None:
        """Seconds that the rest takes at this rate."""
        return None if self.per_s is None else (self.total - self.done) / self.per_s
