"""Where a video cuts from one shot to the next: a picture that has no relation to the one before it.

Fades are no cuts here: none of their pictures stands out.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

# In 55 real videos the mean change of the picture, in 20x20 cells, was 35 to 71 of 255 at the four cuts, ten or more
# times the largest of the five changes before. Hammering before a camera had changes of 45, up to six times.
GRID, MIN_CHANGE, MIN_RATIO, CHANGES = 20, 15.0, 4.0, 5
# A flash changes a picture as much, and what was bright in it stays bright: with a gain of 1.5 the correlation with the
# picture before was 0.90 to 0.98, at the four cuts 0.12 to 0.71.
MAX_LIKENESS = 0.9
BLACK = 8  # of 255: bars around the picture, which never change, do not count


class CutDetector:
    """Follows the pictures of one video."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=CHANGES)
        self._in_a_row = 0  # cuts, up to the last picture

    def find(self, pictures: NDArray[np.uint8]) -> list[bool]:
        """Whether each of the next pictures, [b, H, W, 3] RGB, is the first of a shot; never one of the first two."""
        means = cell_means(pictures)
        before = means[:-1] if self._last is None else np.concatenate([self._last[None], means[:-1]])
        found = [False] * (len(means) - len(before))
        self._last, means = means[-1], means[len(found) :]
        is_seen = np.maximum(means, before).max(axis=-1) > BLACK
        differences = np.where(is_seen, np.abs(means - before).mean(axis=-1), 0).reshape(len(means), GRID * GRID)
        changes = differences.sum(axis=1) / np.maximum(is_seen.reshape(len(means), GRID * GRID).sum(axis=1), 1)
        for change, now, then, seen in zip(changes.tolist(), means, before, is_seen, strict=True):
            found.append(
                self._stands_out(change) and _correlation(now[seen].mean(-1), then[seen].mean(-1)) <= MAX_LIKENESS
            )
            self._in_a_row = self._in_a_row + 1 if found[-1] else 0
            if not found[-1]:
                self._changes.append(change)
        return found

    def _stands_out(self, change: float) -> bool:
        """Whether the picture changes far more than before. Not where that is unknown, and no third time in a row:
        what moves fast would else be cut at each picture."""
        if self._in_a_row > 1 or not self._changes:
            return False
        return change >= MIN_CHANGE and change >= MIN_RATIO * max(self._changes)


def cell_means(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[b, GRID, GRID, 3] means over cells, of 4x4 places in each: all pixels would cost ten times as much."""
    num_pictures, height, width = pictures.shape[:3]
    rows, columns = ((np.arange(4 * GRID) * 2 + 1) * size // (8 * GRID) for size in (height, width))
    places = pictures.reshape(num_pictures, -1, 3).take((rows[:, None] * width + columns).ravel(), axis=1)
    of_rows = places.reshape(num_pictures, GRID, 4, -1).sum(axis=2, dtype=np.float32)
    return of_rows.reshape(num_pictures, GRID, GRID, 4, 3).sum(axis=3) / 16


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's, of two lists of cells; 0 where one of them is the same everywhere."""
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm > 0 else 0.0
