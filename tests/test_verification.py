"""The equal error rate is where both kinds of mistakes are as frequent; scores that say nothing have one half."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from pipeline.metrics import verification
from pipeline.metrics.verification import equal_error_rate


def test_pairs_that_are_apart_have_no_error_and_the_other_way_round_all() -> None:
    same = [True, True, False, False]
    assert equal_error_rate([3, 2, 1, 0], same) == 0
    assert equal_error_rate([0, 1, 2, 3], same) == 1


def test_the_rate_is_where_the_roc_curve_of_scikit_learn_meets_equal_errors() -> None:
    rng = np.random.default_rng(0)
    for num_same, num_other, gap in ((40, 70, 1.0), (200, 30, 0.3), (5, 3, 0.0), (90, 90, 2.5)):
        same = np.repeat([True, False], [num_same, num_other])
        scores = np.round(rng.standard_normal(len(same)) + gap * same, 1)  # many are equal
        wrong, right, _ = roc_curve(same, scores, drop_intermediate=False)
        along = np.linspace(0, 1, 200_001)  # along the curve, which is a line from point to point
        arc = np.append(0, np.cumsum(np.hypot(np.diff(wrong), np.diff(right))))
        taken, found = (np.interp(along * arc[-1], arc, side) for side in (wrong, right))
        closest = np.argmin(np.abs(taken - (1 - found)))
        assert equal_error_rate(scores, same) == pytest.approx(taken[closest], abs=1e-4)


def test_two_normal_distributions_err_as_often_as_half_their_distance_says() -> None:
    rng = np.random.default_rng(1)
    same = np.repeat([True, False], 40_000)
    rate = equal_error_rate(rng.standard_normal(80_000) + 2.0 * same, same)
    assert rate == pytest.approx(0.1587, abs=0.004)  # the normal distribution's share beyond 1


@pytest.mark.parametrize(
    ("scores", "is_same", "says"),
    [
        ([1.0, 2.0], [True, True], "2 pairs of one identity and 0 others"),
        ([1.0, float("nan")], [True, False], "NaN"),
        ([1.0], [True, False], "expected"),
    ],
)
def test_scores_without_a_rate_are_refused(scores: list[float], is_same: list[bool], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        equal_error_rate(scores, is_same)


def test_examples_in_docstrings_run() -> None:
    result = doctest.testmod(verification)
    assert result.attempted > 0
    assert result.failed == 0
