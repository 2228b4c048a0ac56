"""Areas under the ROC curve equal scikit-learn's and a count over all pairs."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pipeline.metrics.detection import matched_mismatched_auc, weighted_auc_roc


def counted(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Share of the weight of all (positive, negative) pairs that is in order, equal scores half."""
    right = total = 0.0
    for score, weight in zip(scores[labels == 1], weights[labels == 1], strict=True):
        for other, other_weight in zip(scores[labels == 0], weights[labels == 0], strict=True):
            right += weight * other_weight * ((score > other) + 0.5 * (score == other))
            total += weight * other_weight
    return right / total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 12])  # with many equal scores, and with none
def test_equals_scikit_learn_and_a_count_of_pairs(seed: int, decimals: int) -> None:
    rng = np.random.default_rng([seed, decimals])
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.normal(size=60) + labels, decimals)
    weights = rng.exponential(size=60) * (rng.random(60) > 0.2)  # a fifth weigh nothing
    value = weighted_auc_roc(scores, labels, weights)
    assert value == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    assert value == pytest.approx(counted(scores, labels, weights), abs=1e-12)
    assert isinstance(value, float)


def test_weight_of_an_item_equals_repeating_it() -> None:
    scores, labels, weights = np.array([0.1, 0.9, 0.5, 0.4]), np.array([0, 1, 0, 1]), np.array([2, 1, 3, 4])
    repeated = roc_auc_score(np.repeat(labels, weights), np.repeat(scores, weights))
    assert weighted_auc_roc(scores, labels, weights) == pytest.approx(repeated, abs=1e-12)


def test_only_the_order_of_scores_counts() -> None:
    logits, labels, weights = torch.tensor([-2.0, 0.5, 3.0, -1.0]), torch.tensor([0, 1, 1, 1]), torch.ones(4)
    value = weighted_auc_roc(logits, labels, weights)
    assert value == weighted_auc_roc(torch.sigmoid(logits), labels.bool(), 5 * weights) == 1.0


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="no item with label 0"):
        weighted_auc_roc([0.1, 0.2], [1, 1], [1.0, 1.0])
    with pytest.raises(ValueError, match="no item with label 1 has a weight above 0"):
        weighted_auc_roc([0.1, 0.2], [1, 0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([0.1, 0.2], [1, 0], [1.0], "the same"),
        ([[0.1, 0.2]], [[1, 0]], [[1.0, 1.0]], "the same"),
        ([0.1, np.nan], [1, 0], [1.0, 1.0], "NaN"),
        ([0.1, 0.2], [1, 0], [1.0, np.inf], "NaN or infinity"),
        ([0.1, 0.2], [1, 2], [1.0, 1.0], r"labels hold \[2.0\]"),
        ([0.1, 0.2], [1, 0], [1.0, -1.0], "the smallest is -1.0"),
    ],
)
def test_items_without_a_meaning_are_refused(scores: list, labels: list, weights: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_auc_roc(scores, labels, weights)


def test_matched_pairs_that_score_higher_in_three_of_four_comparisons_have_three_quarters() -> None:
    assert matched_mismatched_auc([0.9, 0.3], [0.1, 0.5]) == 0.75
    assert matched_mismatched_auc(torch.tensor([2.0]), torch.tensor([2.0, 2.0])) == 0.5


def test_sets_of_different_size_are_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    matched, mismatched = rng.normal(1, 1, 30), rng.normal(0, 1, 70)
    expected = np.mean(matched[:, None] > mismatched[None, :])
    assert matched_mismatched_auc(matched, mismatched) == pytest.approx(expected, abs=1e-12)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="no item with label 0"):
        matched_mismatched_auc([0.5], [])
    with pytest.raises(ValueError, match="expected \\[N\\]"):
        matched_mismatched_auc([[0.5]], [0.1])
