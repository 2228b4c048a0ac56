"""How well one modality finds its counterpart among many: a picture its sound, a sound its picture.

Conventions
-----------
Scores are [N, N] numbers, row i a query, column i its own partner, all partners of different videos; a higher score is
a better match and only the order within a row counts. Transpose to ask in the other direction. Values are floats in
[0, 1]; chance is k / N. Ties are broken by chance, so a constant score reaches k / N, not 1.

Metric
------
- `recall_at`: share of queries whose partner is among the k best. It can fail for k < N only.
- `found_among`: the same of each query, over all galleries of a given size, so that figures of sets of different sizes
  can be compared.

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
    better, equal = _rivals(scores)
    return float(np.clip((k - better) / equal, 0, 1).mean())


def found_among(scores: ArrayLike, k: int, gallery: int) -> np.ndarray:
    """[N] chance in [0, 1] that a query's partner is among the k best of itself and `gallery` - 1 others drawn from the
    other N - 1, of scores [N, N]; ties by chance.

    Raises:
        ValueError: scores that are not square, empty or not finite; k < 1; or a gallery below 1 or above N.

    >>> found_among([[2.0, 3.0, 1.0], [0.0, 1.0, 0.0], [5.0, 4.0, 3.0]], 1, gallery=2)
    array([0.5, 1. , 0. ])
    """
    from scipy.stats import hypergeom  # takes 0.8 s: only measuring needs it

    better, equal = _rivals(scores)
    if k < 1 or not 1 <= gallery <= len(better):
        raise ValueError(f"k = {k}, gallery = {gallery}: expected 1 or more, and a gallery of at most {len(better)}.")
    chance = hypergeom.cdf(k - 1, len(better) - 1, np.arange(len(better)), gallery - 1)  # by how many score higher
    return np.array([chance[first : first + ties].mean() for first, ties in zip(better, equal, strict=True)])


def _rivals(scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """[N] how many score higher than the query's partner, and [N] how many as high, the partner too."""
    score = np.asarray(scores, dtype=np.float64)
    if score.ndim != 2 or score.shape[0] != score.shape[1] or not len(score):
        raise ValueError(f"scores {list(score.shape)}: expected [N, N], the partner of query i in column i.")
    if not np.isfinite(score).all():
        raise ValueError("scores hold NaN or infinity, expected finite numbers. Look at the embeddings' lengths.")
    own = np.diagonal(score)[:, None]
    return (score > own).sum(axis=1), (score == own).sum(axis=1)
