"""Sources of neighbouring windows are paired by their correlation."""

import numpy as np
import pytest

from pipeline.inference.estimates import Estimate
from pipeline.inference.source_order import closest_order, in_one_order
from pipeline.inference.windows import Window


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_sources_that_continue_are_found_again_in_any_order(noise: float) -> None:
    rng = np.random.default_rng(0)
    before = rng.standard_normal((4, 4000)) * np.array([[1.0], [0.3], [0.1], [0.03]])
    for _ in range(10):
        order = rng.permutation(4)
        after = np.empty_like(before)
        after[order] = before + noise * before.std(axis=1, keepdims=True) * rng.standard_normal(before.shape)
        np.testing.assert_array_equal(closest_order(before, after), order)


def test_two_tones_keep_their_places_through_windows_that_turn_them_round() -> None:
    time_s = np.arange(16_000 * 20) / 16_000
    tones = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (300, 2000)]).astype(np.float32)
    parts = []
    for number, start in enumerate(range(0, 16_000 * 15, 40_000)):
        sources = tones[:, start : start + 80_000]
        window = Window(start, sources.sum(axis=0), np.zeros(0))
        estimate = Estimate(window, sources, np.array([0.9, 0.1]), np.zeros((2, 0)))
        parts.append(estimate.reordered(np.array([1, 0])) if number % 2 else estimate)
    found = list(in_one_order(parts))
    assert len(found) == 6
    for estimate in found:
        start = estimate.window.start
        np.testing.assert_array_equal(estimate.sources, tones[:, start : start + 80_000])
        np.testing.assert_array_equal(estimate.probabilities, [0.9, 0.1])


def test_silence_has_an_order_too() -> None:
    assert sorted(closest_order(np.zeros((3, 10)), np.zeros((3, 10)))) == [0, 1, 2]
