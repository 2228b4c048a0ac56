"""Intervals equal scipy's where each example is its own group, and follow from arithmetic where groups are few."""

import numpy as np
import pytest
import scipy.stats

from pipeline.metrics.bootstrap import MIN_GROUPS, Interval, bootstrap_interval


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_with_single_examples_it_is_scipys_percentile_interval(statistic) -> None:
    values = np.random.default_rng(0).normal(3, 2, size=80)
    found = bootstrap_interval(lambda drawn: statistic(values[drawn]), np.arange(80))
    expected = scipy.stats.bootstrap(
        (values,), statistic, method="percentile", n_resamples=5000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.num_groups == 80
    # a 2.5 % quantile of 1000 values has a standard deviation of 0.03 of the interval's width of 0.9
    assert found[:2] == pytest.approx(expected, abs=0.1)


def test_copies_of_an_example_in_its_group_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    once = bootstrap_interval(lambda drawn: float(values[drawn].mean()), np.arange(30))
    copied, groups = np.repeat(values, 10), np.repeat(np.arange(30), 10)
    assert bootstrap_interval(lambda drawn: float(copied[drawn].mean()), groups) == pytest.approx(once)
    as_if_independent = bootstrap_interval(lambda drawn: float(copied[drawn].mean()), np.arange(300))
    width, narrow = once.high - once.low, as_if_independent.high - as_if_independent.low
    assert narrow == pytest.approx(width / 10**0.5, rel=0.15)


def test_the_spread_of_a_share_is_the_binomial_distributions() -> None:
    worse = np.arange(20) < 10
    found = bootstrap_interval(lambda drawn: float(worse[drawn].mean()), np.arange(20))
    expected = scipy.stats.binom.ppf([0.025, 0.975], 20, 0.5) / 20
    assert found[:2] == pytest.approx(expected, abs=0.051)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    def covers(seed: int) -> bool:
        values = np.random.default_rng(seed).normal(size=60)
        found = bootstrap_interval(lambda drawn: float(np.median(values[drawn])), np.arange(60))
        return found.low <= 0 <= found.high

    assert sum(map(covers, range(30))) >= 25  # 28.5 expected; the binomial distribution gives 24 or fewer with 0.3 %


def test_too_few_groups_have_no_interval_and_resamples_without_value_are_left_out() -> None:
    few = np.repeat(np.arange(MIN_GROUPS - 1), 9)
    assert bootstrap_interval(lambda drawn: 1.0, few) == Interval(None, None, MIN_GROUPS - 1)
    assert bootstrap_interval(lambda drawn: 1.0, np.array([])) == Interval(None, None, 0)
    enough = np.arange(MIN_GROUPS)
    assert bootstrap_interval(lambda drawn: np.nan, enough) == Interval(None, None, MIN_GROUPS)
    some = bootstrap_interval(lambda drawn: 2.0 if 0 in drawn else np.nan, enough)
    assert some == Interval(2.0, 2.0, MIN_GROUPS)
    by_name = bootstrap_interval(lambda drawn: float(len(drawn)), np.array(list("abcde")))
    assert by_name == Interval(5.0, 5.0, 5)
