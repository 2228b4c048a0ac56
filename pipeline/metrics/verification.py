"""Whether scores of pairs say that both are of one identity: the equal error rate.

Conventions
-----------
Scores are [N], higher for pairs that look alike; `is_same` is [N] bool. Values are in [0, 1]: 0 where every pair of one
identity scores above every other pair, 0.5 for scores that say nothing, above 0.5 for scores that say the opposite.

Metric
------
- `equal_error_rate`: the share of wrong answers at the threshold at which both kinds are equally often wrong.

References
----------
Nagrani et al. 2017, "VoxCeleb", arXiv:1706.08612, section 5 (speaker verification by equal error rate).
"""

import numpy as np
from numpy.typing import ArrayLike


def equal_error_rate(scores: ArrayLike, is_same: ArrayLike) -> float:
    """Share of pairs of one identity that score too low, where as large a share of the other pairs scores too high.

    Between two thresholds, whose shares lie on two sides of equality, both shares are interpolated: the point at which
    the ROC curve meets the diagonal of equal errors. Equal scores are on one side of a threshold together.

    Args:
        scores: [N] higher is more alike.
        is_same: [N] whether the pair is of one identity.
    Raises:
        ValueError: shapes differ, a score is not finite, or one of both kinds is missing.

    >>> equal_error_rate([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [True, True, True, False, False, False])
    0.3333333333333333
    >>> equal_error_rate([1.0, 1.0, 1.0, 1.0], [True, True, False, False])
    0.5
    """
    score, same = np.asarray(scores, dtype=np.float64), np.asarray(is_same, dtype=bool)
    if score.ndim != 1 or score.shape != same.shape:
        raise ValueError(f"scores {list(score.shape)}, is_same {list(same.shape)}: expected [N] twice.")
    if not np.isfinite(score).all():
        raise ValueError("scores hold NaN or infinity, expected finite numbers. Look at the embeddings' lengths.")
    if same.all() or not same.any():
        raise ValueError(f"{same.sum()} pairs of one identity and {(~same).sum()} others: expected some of both.")
    _, rank = np.unique(score, return_inverse=True)
    # with the threshold above the k lowest scores: share of pairs of one identity below it, of others above it
    missed = np.append(0, np.cumsum(np.bincount(rank, same))) / same.sum()
    taken = 1 - np.append(0, np.cumsum(np.bincount(rank, ~same))) / (~same).sum()
    after = int(np.argmax(missed >= taken))  # missed rises from 0 to 1, taken falls from 1 to 0: 1 or more
    ahead, behind = taken[after - 1] - missed[after - 1], missed[after] - taken[after]
    return float(missed[after - 1] + (missed[after] - missed[after - 1]) * ahead / (ahead + behind))
