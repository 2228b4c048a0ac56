"""A separator orders its sources anew in each window: bring every window's sources into the order of the one before.

Two neighbouring windows share half a clip of sound. Sources are paired so that the sum of their correlations over it is
largest: an assignment problem, solved exactly (Kuhn 1955).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.inference.estimates import Estimate

FLOOR = 1e-3  # of the mixture's power: what is 30 dB below it is hardly a source, and its correlations say nothing


def in_one_order(parts: Iterable[Estimate]) -> Iterator[Estimate]:
    """The estimates with their sources in the order of the first window."""
    last: Estimate | None = None
    for estimate in parts:
        if last is not None:
            before = last.sources[:, estimate.window.start - last.window.start :]
            estimate = estimate.reordered(closest_order(before, estimate.sources[:, : before.shape[1]]))
        yield estimate
        last = estimate


def closest_order(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """[S] for each of the sources before, the source after that continues it.

    Args:
        before: [S, n] sources of a window in the time that it shares with the next.
        after: [S, n] sources of the next window in the same time.

    >>> one, other = np.sin(np.arange(100)), np.cos(0.3 * np.arange(100))
    >>> closest_order(np.stack([one, other]), np.stack([0.9 * other, one])).tolist()
    [1, 0]
    """
    from scipy.optimize import linear_sum_assignment  # takes 0.4 s: a video of one window does without it

    before, after = before.astype(np.float64), after.astype(np.float64)
    floor = FLOOR * np.square(before.sum(axis=0)).sum() + np.finfo(np.float64).tiny
    powers = [np.square(sources).sum(axis=1) + floor for sources in (before, after)]
    correlations = before @ after.T / np.outer(*np.sqrt(powers))
    return linear_sum_assignment(correlations, maximize=True)[1]
