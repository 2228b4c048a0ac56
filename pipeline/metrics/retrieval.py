"""How well one modality finds its counterpart among many: a picture its sound, a sound its picture.

Conventions
-----------
Scores are [N, N] numbers, row i a query, column i its own partner, all partners of different videos; a higher score is
a better match and only the order within a row counts. Transpose to ask in the other direction. Values are floats in
[0, 1]; chance is k / N. Ties are broken by chance, so a constant score reaches k / N, not 1.

Metric
------
- `recall_at`: share of queries whose partner is among the k best. It can fail for k < N only.

References
----------
Arandjelovic & Zisserman 2018, "Objects that Sound", arXiv:1712.06651, section 3.2 (audio-visual retrieval).
"""

import numpy as np
from numpy.typing import ArrayLike


def recall_at(scores: ArrayLike, k: int) -> float:
    """Share of the queries, in [0, 1], whose own partner is among the k best of scores [N, N]; ties by chance.

    Raises:
        ValueError: scores that are not square, empty or not finite; or k < 1.

    >>> recall_at([[3.0, 1.0], [2.0, 1.0]], 1), recall_at([[1.0, 1.0], [1.0, 1.0]], 1)
    (0.5, 0.5)
    """
    if k < 1:
        raise ValueError(f"k = {k}: expected 1 or more.")
    score = np.asarray(scores, dtype=np.float64)
    if score.ndim != 2 or score.shape[0] != score.shape[1] or not len(score):
        raise ValueError(f"scores {list(score.shape)}: expected [N, N], the partner of query i in column i.")
    if not np.isfinite(score).all():
        raise ValueError("scores hold NaN or infinity, expected finite numbers. Look at the embeddings' lengths.")
    own = np.diagonal(score)[:, None]
    better, equal = (score > own).sum(axis=1), (score == own).sum(axis=1)  # `equal` counts the partner too
    return float(np.clip((k - better) / equal, 0, 1).mean())
