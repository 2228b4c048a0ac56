"""Which sources are kept: by probability, by a region of the picture, by spans of time."""

import numpy as np
import pytest

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.choosing import Region, area_in_frame, region_weights, sounding, weights
from pipeline.inference.estimates import Estimate
from pipeline.inference.windows import Window


def looking(rows: int, columns: int, *cells: tuple[int, int]) -> np.ndarray:
    """[1, 2, rows, columns] attention on some cells of two frames."""
    found = np.zeros((1, 2, rows, columns))
    for row, column in cells:
        found[0, :, row, column] = 1 / (2 * len(cells))
    return found


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_attention_that_is_everywhere_says_nothing_of_a_region_of_any_size(share: float) -> None:
    everywhere = np.full((1, 2, 8, 8), 1 / 128)
    np.testing.assert_allclose(region_weights(everywhere, (0, 0, share, 1)), 0.5, atol=1e-6)


def test_attention_inside_is_kept_outside_not_and_on_the_edge_by_the_cells_share() -> None:
    left = (0.0, 0.0, 0.5, 1.0)
    assert region_weights(looking(4, 4, (0, 0), (3, 1)), left) == pytest.approx([1])
    assert region_weights(looking(4, 4, (0, 2)), left) == pytest.approx([0])
    # the region ends in the middle of column 1: half of the cell's attention, 3/8 of the picture
    inside, outside = 0.5 / 0.375, 0.5 / 0.625
    found = region_weights(looking(4, 4, (0, 1)), (0.0, 0.0, 0.375, 1.0))
    assert found == pytest.approx([inside / (inside + outside)])


def test_the_whole_picture_as_a_region_changes_nothing() -> None:
    assert region_weights(looking(4, 4, (2, 2)), (0, 0, 1, 1)) == pytest.approx([1])


def test_a_weight_is_the_probability_times_the_regions_and_a_threshold_makes_it_one_or_zero() -> None:
    attention = np.concatenate([looking(2, 2, (0, 0)), looking(2, 2, (0, 1)), looking(2, 2, (1, 0))])
    estimate = Estimate(Window(0, np.zeros(1), np.zeros(0)), np.zeros((3, 1)), np.array([0.9, 0.8, 0.3]), attention)
    left = (0.0, 0.0, 0.5, 1.0)
    np.testing.assert_allclose(weights(estimate, None, None), [0.9, 0.8, 0.3])
    np.testing.assert_allclose(weights(estimate, None, left), [0.9, 0, 0.3], atol=1e-6)
    np.testing.assert_array_equal(weights(estimate, 0.5, None), [1, 1, 0])
    np.testing.assert_array_equal(weights(estimate, 0.5, left), [1, 0, 0])


def test_a_region_in_pixels_is_a_share_of_the_picture_and_of_the_frame_that_pads_it() -> None:
    right_half = Region(320, 0, 320, 240)
    assert area_in_frame(right_half, (640, 240), 640 / 240, ClipSpec()) == (0.5, 0, 1, 1)
    # 640 x 240 in a square: bars of (1 - 240 / 640) / 2 above and below
    assert area_in_frame(right_half, (640, 240), 640 / 240, ClipSpec(fit="pad")) == pytest.approx(
        (0.5, 0.3125, 1, 0.6875)
    )
    # pixels of twice the width: 1280 x 240 are shown
    found = area_in_frame(right_half, (640, 240), 1280 / 240, ClipSpec(fit="pad"))
    assert found == pytest.approx((0.5, 0.40625, 1, 0.59375))


def test_a_point_is_a_quarter_of_the_pictures_sides_around_it_cut_at_its_edges() -> None:
    assert Region(320, 120).within((640, 240)) == pytest.approx((0.375, 0.375, 0.625, 0.625))
    assert Region(0, 240).within((640, 240)) == pytest.approx((0, 0.875, 0.125, 1))


@pytest.mark.parametrize(
    "region", [Region(600, 0, 41, 10), Region(0, 230, 10, 11), Region(641, 0), Region(5000, 5, 1, 1)]
)
def test_a_region_outside_the_picture_is_refused_with_the_pictures_size(region: Region) -> None:
    with pytest.raises(ClipError, match="outside the picture, which has 640 x 240 pixels") as caught:
        region.within((640, 240))
    assert caught.value.reason == "region"


def test_a_source_sounds_in_spans_if_it_is_as_loud_as_ever_and_not_drowned() -> None:
    in_spans = np.array([1.0, 0.5, 0.05, 0.002, 0.0])
    overall = np.array([1.0, 0.6, 0.5, 0.002, 0.0])
    # the third is a trace of what it is elsewhere, the fourth 27 dB below the loudest, the fifth is silent
    np.testing.assert_array_equal(sounding(in_spans, overall), [True, True, False, False, False])
