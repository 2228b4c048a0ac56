"""Strata: totals with a range that holds, a sample that the names decide, the best allocation."""

import gc
import itertools
import math
import random
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy.stats import t as student

from pipeline.estimate.stratified_sampling import Range, Stratum, allocate, draw, total


class Item:
    """Something that a weak reference can follow."""


def drawn(sizes: Sequence[int | None], num_sampled: int, seed: int = 0) -> list[Stratum]:
    return draw(((f"video-{index}", size_bytes, index) for index, size_bytes in enumerate(sizes)), num_sampled, seed)


def estimated(sizes: Sequence[int], costs: np.ndarray, num_sampled: int, seed: int) -> Range:
    strata = drawn(sizes, num_sampled, seed)
    return total([found.num_items for found in strata], [costs[found.sampled] for found in strata])


def skewed(num_items: int) -> tuple[list[int], np.ndarray]:
    """Log-normal sizes, and costs that follow them within a factor of about 1.6; one in ten costs nothing."""
    rng = np.random.default_rng(4)
    sizes = np.exp(rng.normal(16, 1.5, num_items)).astype(int)
    costs = sizes * 1e-6 * np.exp(rng.normal(0, 0.5, num_items)) * (rng.random(num_items) > 0.1)
    return sizes.tolist(), costs


def test_a_total_and_its_range_are_the_textbook_s() -> None:
    # means 2 and 20, variances 2 and 100; N (N - n) / n = 40 and 4/3
    value, variances = 10 * 2 + 4 * 20, (40 * 2, 4 / 3 * 100)
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 1 + variances[1] ** 2 / 2)
    error = student.ppf(0.975, freedom) * math.sqrt(sum(variances))
    found = total([10, 4], [[1, 3], [10, 20, 30]])
    assert found == pytest.approx((value, max(64, value - error), value + error))
    wide = total([1000, 4], [[1, 3], [10, 20, 30]])
    assert wide.low == 64  # the sample alone holds 1 + 3 + 10 + 20 + 30


def test_what_was_sampled_whole_has_a_range_of_no_width() -> None:
    sizes, costs = skewed(300)
    assert sum(stratum.size_bytes or 0 for stratum in drawn(sizes, 20)) == sum(sizes)
    for num_sampled in (300, 1000):
        found = estimated(sizes, costs, num_sampled, seed=0)
        assert found.low == found.value == found.high
        assert found.value == pytest.approx(costs.sum())


def test_a_range_is_widened_to_a_share_of_its_value_and_never_narrowed() -> None:
    assert Range(10, 10, 10).widened(0.25) == (10, 7.5, 12.5)
    assert Range(10, 4, 11).widened(0.25) == (10, 4, 12.5)
    assert Range(10, 4, math.inf).widened(0.25) == (10, 4, math.inf)


def test_one_item_that_stands_for_others_gives_no_upper_end() -> None:
    assert total([3, 2], [[5], [1, 1]]) == (17, 7, math.inf)
    assert total([1, 2], [[5], [1, 1]]) == (7, 7, 7)


def test_the_range_holds_the_true_total_19_times_in_20_and_the_error_is_half_of_a_simple_sample_s() -> None:
    sizes, costs = skewed(800)
    found = [estimated(sizes, costs, 24, seed) for seed in range(200)]
    simple = [estimated([1] * len(sizes), costs, 24, seed) for seed in range(200)]  # sizes that predict nothing
    held = sum(item.low <= costs.sum() <= item.high for item in found) / len(found)
    assert held > 0.95 - 2 * math.sqrt(0.95 * 0.05 / 200)
    errors, simple_errors = ([item.value - costs.sum() for item in items] for items in (found, simple))
    rms, simple_rms = (math.sqrt(np.mean(np.square(values))) for values in (errors, simple_errors))
    assert rms < simple_rms / 2
    assert abs(np.mean(errors)) < 3 * rms / math.sqrt(200)  # no bias


def test_each_item_of_a_stratum_is_drawn_as_often_as_any_other() -> None:
    times = np.zeros(30)
    for seed in range(600):
        (stratum,) = drawn([1000] * 30, 6, seed)
        times[stratum.sampled] += 1
    expected = 600 * 6 / 30
    assert np.abs(times - expected).max() < 4 * math.sqrt(expected * (1 - 6 / 30))


def test_the_sample_does_not_depend_on_the_order_of_the_stream() -> None:
    sizes, _ = skewed(500)
    items = list(enumerate(sizes))
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(items)
        found.append(draw(((f"video-{index}", size_bytes, index) for index, size_bytes in items), 20))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("num_sampled", [1, 2, 3, 5, 12, 40, 500])
@pytest.mark.parametrize(
    "sizes",
    [
        [0],
        [None] * 50,
        [7] * 50,
        [0, 0, 1, None],
        [2**k for k in range(40)],
        [10**9, *[1] * 200],
        [None] * 30 + [10**6] * 30,
    ],
)
def test_as_many_are_drawn_as_were_asked_for_and_two_of_each_stratum(sizes: list[int | None], num_sampled: int) -> None:
    strata = drawn(sizes, num_sampled)
    indices = [index for stratum in strata for index in stratum.sampled]
    assert len(indices) == len(set(indices)) == min(num_sampled, len(sizes))
    assert sum(stratum.num_items for stratum in strata) == len(sizes)
    for stratum in strata:
        assert len(stratum.sampled) >= min(2, stratum.num_items, num_sampled)


def test_strata_hold_neighbouring_sizes_and_unknown_ones_apart() -> None:
    sizes = [None] * 40 + [5000] * 40 + [70_000] * 40 + [900_000] * 40
    strata = drawn(sizes, 30)
    assert [stratum.num_items for stratum in strata] == [40, 40, 40, 40]
    assert [{sizes[index] for index in stratum.sampled} for stratum in strata] == [{None}, {5000}, {70_000}, {900_000}]
    assert [stratum.size_bytes for stratum in strata] == [None, 40 * 5000, 40 * 70_000, 40 * 900_000]
    counts = [len(stratum.sampled) for stratum in strata]
    assert counts[1] == 2  # few bytes
    assert counts[3] > counts[2]
    merged = drawn(sizes, 6)  # room for two strata: those of the fewest bytes go together
    assert [stratum.num_items for stratum in merged] in ([80, 80], [120, 40])


def test_a_stream_of_any_length_is_held_as_a_few_items_per_power_of_two() -> None:
    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    most = []

    def stream() -> Iterator[tuple[str, int, Item]]:
        for index in range(3000):
            item = Item()
            alive.add(item)
            yield str(index), 2 ** (index % 8), item
            del item
        gc.collect()
        most.append(len(alive))

    draw(stream(), 5)
    assert 8 * 5 <= most[0] <= 8 * 5 + 1  # and the one that is just passing


@pytest.mark.parametrize(
    ("num_items", "spreads", "num_sampled"),
    [((9, 30, 4), (1.0, 2.0, 9.0), 12), ((50, 50), (1.0, 3.0), 11), ((3, 3, 3), (5.0, 1.0, 1.0), 8)],
)
def test_no_other_allocation_has_a_smaller_variance(
    num_items: tuple[int, ...], spreads: tuple[float, ...], num_sampled: int
) -> None:
    def variance(counts: Sequence[int]) -> float:
        return sum(
            items * (items - count) / count * spread**2
            for items, count, spread in zip(num_items, counts, spreads, strict=True)
        )

    weights = [items * spread for items, spread in zip(num_items, spreads, strict=True)]
    found = allocate(num_items, weights, num_sampled)
    others = itertools.product(*(range(2, items + 1) for items in num_items))
    best = min(variance(counts) for counts in others if sum(counts) == num_sampled)
    assert sum(found) == num_sampled
    assert variance(found) == pytest.approx(best)
