"""Whether a probability can be taken at its word: of the pairs scored 0.8, do four in five belong together?

Conventions
-----------
Probabilities are [N] in [0, 1], labels [N] 0 or 1. Calibration depends on the share of label 1 in the data: figures of
this project are for one half, as many mismatched as matched pairs. Bins are of equal width, closed above: with 10,
probability 0.1 is in the first and 0.11 in the second; 0 is in the first.

Metrics
-------
- `accuracy`: share of right verdicts at a threshold of one half.
- `expected_calibration_error`: how far probability and share of label 1 lie apart, mean over the bins by their size.
- `brier_score`: mean squared difference of probability and label; rewards calibration and sharpness together.

References
----------
Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599 (binning; their confidence is that of the
likelier class, ours the probability of label 1, which also sees errors that cancel).
"""

import numpy as np
from numpy.typing import ArrayLike

NUM_BINS = 10


def accuracy(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Share of the items, in [0, 1], on the right side of one half; exactly one half is half right.

    Raises:
        ValueError: shapes differ, are not [N] or empty, a probability is not in [0, 1], or a label not 0 or 1.

    >>> accuracy([0.9, 0.4, 0.5], [1, 1, 0])
    0.5
    """
    probability, label = _arrays(probabilities, labels)
    return float(np.where(probability == 0.5, 0.5, (probability > 0.5) == (label > 0.5)).mean())


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Mean over bins, weighted by their items, of |share of label 1 - mean probability|, in [0, 1]; 0 is calibrated.

    Args:
        probabilities: [N] of label 1.
        labels: [N] 0 or 1.
        num_bins: of equal width. Each needs dozens of items, or chance adds to the error.
    Raises:
        ValueError: see `accuracy`; or num_bins < 1.

    >>> expected_calibration_error([0.75, 0.75, 0.75, 0.75], [1, 1, 0, 0])
    0.25
    """
    if num_bins < 1:
        raise ValueError(f"num_bins = {num_bins}: expected 1 or more.")
    probability, label = _arrays(probabilities, labels)
    bins = np.clip(np.ceil(probability * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=label - probability, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(label))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of (probability - label)^2, in [0, 1]; 0.25 for a constant one half."""
    probability, label = _arrays(probabilities, labels)
    return float(np.square(probability - label).mean())


def _arrays(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as [N] float64, if they are a probability and a label per item."""
    probability, label = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if probability.ndim != 1 or probability.shape != label.shape or not len(label):
        raise ValueError(
            f"probabilities {list(probability.shape)}, labels {list(label.shape)}: expected twice the same [N]."
        )
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities: expected 0 to 1. Put logits through a sigmoid.")
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"labels hold {sorted(set(label.tolist()) - {0.0, 1.0})[:3]}, expected 0 and 1 only.")
    return probability, label
