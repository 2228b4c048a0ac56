"""Calibration error equals torchmetrics' where both are defined, is 0 for honest and known for dishonest scores."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from pipeline.metrics.calibration import accuracy, brier_score, expected_calibration_error


def honest(count: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probability = rng.random(count)
    return probability, (rng.random(count) < probability).astype(float)


def test_honest_probabilities_have_no_error_and_the_brier_score_of_theory() -> None:
    probability, label = honest()
    assert expected_calibration_error(probability, label) < 0.01
    assert brier_score(probability, label) == pytest.approx(1 / 6, abs=0.003)  # integral of p (1 - p)
    assert accuracy(probability, label) == pytest.approx(0.75, abs=0.005)  # integral of max(p, 1 - p)


def test_overstated_probabilities_have_the_error_of_the_overstatement() -> None:
    # says 0.25 and 0.75 where it is 0.4 and 0.6
    probability = np.repeat([0.25, 0.75], 100)
    label = np.concatenate([np.arange(100) < 40, np.arange(100) < 60]).astype(float)
    assert expected_calibration_error(probability, label) == pytest.approx(0.15)


def test_errors_of_opposite_sign_in_two_bins_do_not_cancel() -> None:
    assert expected_calibration_error([0.35, 0.65], [1, 0]) == pytest.approx(0.65)
    assert expected_calibration_error([0.35, 0.65], [1, 0], num_bins=1) == pytest.approx(0)


def test_the_error_is_that_of_torchmetrics_for_the_same_bins() -> None:
    # torchmetrics bins the probability of label 1 as it is for binary tasks
    rng = np.random.default_rng(1)
    probability = rng.random(500) ** 2
    label = (rng.random(500) < 0.5).astype(int)
    theirs = binary_calibration_error(torch.from_numpy(probability), torch.from_numpy(label), n_bins=10)
    assert expected_calibration_error(probability, label) == pytest.approx(float(theirs), abs=1e-6)


def test_bins_are_closed_above() -> None:
    # 0.1 is in the first of ten bins with 0.05: their gaps cancel; 0.11 is in the second
    assert expected_calibration_error([0.05, 0.1, 0.0], [0, 0, 0.0]) == pytest.approx(0.05)
    assert expected_calibration_error([0.1, 0.05], [0, 1]) == pytest.approx((1 - 0.15) / 2)
    assert expected_calibration_error([0.11, 0.05], [0, 1]) == pytest.approx((0.11 + 0.95) / 2)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        accuracy([1.2], [1])
    with pytest.raises(ValueError, match="0 to 1"):
        accuracy([np.nan], [1])
    with pytest.raises(ValueError, match="0 and 1 only"):
        brier_score([0.2], [2])
    with pytest.raises(ValueError, match="twice the same"):
        brier_score([0.2], [0, 1])
    with pytest.raises(ValueError, match="num_bins = 0"):
        expected_calibration_error([0.2], [0], num_bins=0)
