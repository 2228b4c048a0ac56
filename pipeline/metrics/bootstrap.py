"""How far a figure would move with other videos: percentile bootstrap over groups of examples.

Conventions
-----------
Groups are [N], one per example: the examples of one video are alike, so whole videos are drawn, not examples. Each of
NUM_RESAMPLES resamples draws as many groups as there are, with replacement; a group that is drawn twice counts twice.
The interval runs from the 2.5 to the 97.5 percentile of the statistic's values. The generator is seeded: the same
examples give the same interval. With fewer than MIN_GROUPS groups there is none: five values have 126 resamples.

References
----------
Efron, Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals).
Davison, Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (groups).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
MIN_GROUPS = 5
SEED = 0


class Interval(NamedTuple):
    """A confidence interval of CONFIDENCE, and how many groups it comes from."""

    low: float | None
    high: float | None
    num_groups: int


def bootstrap_interval(statistic: Callable[[np.ndarray], float], groups: np.ndarray) -> Interval:
    """Interval of a statistic over examples that come in groups.

    Args:
        statistic: (numbers [n] of the examples of a resample, a number once for each time it was drawn) -> value; NaN
            where the resample has none, such as an AUC of one class. Those resamples are left out.
        groups: [N] name or number of each example's group.
    Returns:
        Bounds None below MIN_GROUPS groups, or where no resample has a value.
    """
    _, members = np.unique(groups, return_inverse=True)
    num_groups = int(members.max()) + 1 if len(members) else 0
    if num_groups < MIN_GROUPS:
        return Interval(None, None, num_groups)
    rng, numbers = np.random.default_rng(SEED), np.arange(len(members))
    values = np.empty(NUM_RESAMPLES)
    for i in range(NUM_RESAMPLES):
        counts = np.bincount(rng.integers(num_groups, size=num_groups), minlength=num_groups)
        values[i] = statistic(np.repeat(numbers, counts[members]))
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(None, None, num_groups)
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high), num_groups)
