"""Attention on masks: one for an oracle, the share of the area for what knows nothing, arithmetic on few cells."""

import doctest

import numpy as np
import pytest

from pipeline.metrics import localization
from pipeline.metrics.localization import attention_mass, cell_coverage, mask_share, pointing_hit_rate


def box(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((1, height, width), bool)
    mask[0, rows, columns] = True
    return mask


def test_examples_in_the_docs() -> None:
    assert doctest.testmod(localization).failed == 0


def test_a_cell_is_covered_by_its_share_of_pixels_also_where_pixels_lie_across_its_edge() -> None:
    mask = box(3, 4, slice(0, 2), slice(0, 1))  # two thirds of the height, a quarter of the width
    np.testing.assert_allclose(cell_coverage(mask, 1, 1)[0], [[2 / 3 / 4]])
    # the middle one of three rows lies across the edge of two rows of cells
    np.testing.assert_allclose(cell_coverage(mask, 2, 2)[0], [[0.5, 0], [0.5 / 3, 0]], atol=1e-12)
    assert cell_coverage(mask, 7, 5).mean() == pytest.approx(mask.mean())  # the area stays


def test_an_oracle_has_all_attention_on_the_mask_and_an_inverted_one_none() -> None:
    mask = box(12, 16, slice(2, 9), slice(5, 11))
    for oracle, value in ((mask, 1), (~mask, 0)):
        assert attention_mass(oracle.astype(float), mask) == value
        assert pointing_hit_rate(oracle.astype(float), mask) == value


def test_even_attention_and_random_attention_have_the_masks_share_of_the_area() -> None:
    mask = box(64, 64, slice(8, 40), slice(16, 48))  # whole cells of 8 x 8 pixels: a quarter of the picture
    share = mask_share(mask)
    assert share == 0.25
    even = np.full((1, 8, 8), 1 / 64)
    assert attention_mass(even, mask) == pointing_hit_rate(even, mask) == share
    draws = np.random.default_rng(0).dirichlet(np.ones(64), size=2000).reshape(-1, 1, 8, 8)
    assert np.mean([attention_mass(draw, mask) for draw in draws]) == pytest.approx(share, abs=0.005)
    assert np.mean([pointing_hit_rate(draw, mask) for draw in draws]) == pytest.approx(share, abs=0.03)


def test_frames_in_which_nothing_is_seen_to_sound_do_not_count() -> None:
    mask = box(4, 4, slice(0, 2), slice(0, 4))
    both = np.concatenate([mask, np.zeros_like(mask)])
    attention = np.array([[[0.1, 0.1], [0.2, 0.0]], [[0.3, 0.0], [0.0, 0.3]]])
    assert attention_mass(attention, both) == attention_mass(attention[:1], mask) == pytest.approx(0.5)
    assert pointing_hit_rate(attention, both) == 0
    assert mask_share(both) == 0.5
    for figure in (attention_mass, pointing_hit_rate):
        assert np.isnan(figure(attention, np.zeros_like(both)))
    assert np.isnan(mask_share(np.zeros_like(both)))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"attention \[2, 2\]"):
        attention_mass(np.ones((2, 2)), np.ones((1, 4, 4), bool))
    with pytest.raises(ValueError, match=r"masks \[2, 4, 4\]"):
        pointing_hit_rate(np.ones((1, 2, 2)), np.ones((2, 4, 4), bool))
    with pytest.raises(ValueError, match="smallest is -1"):
        attention_mass(-np.ones((1, 2, 2)), np.ones((1, 4, 4), bool))
