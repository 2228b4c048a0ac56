"""Outlines of masks: where the line, the rim and the tint lie."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.inference.outlines import OUTLINE, RIM, TINT, draw_outline


def drawn(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, 4] of the layer."""
    with Image.open(io.BytesIO(draw_outline(mask, size))) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture)


def count(pixels: np.ndarray, colour: tuple[int, int, int, int]) -> int:
    return int((pixels == colour).all(axis=2).sum())


def test_a_square_has_a_line_within_a_rim_around_and_a_tint_inside() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    pixels = drawn(mask, (40, 60))
    assert count(pixels, OUTLINE) == 20 * 20 - 18 * 18
    assert count(pixels, TINT) == 18 * 18
    assert count(pixels, RIM) == 22 * 22 - 20 * 20
    assert not pixels[~np.isin(np.arange(40), range(9, 31))].any()
    assert tuple(pixels[10, 20]) == OUTLINE
    assert tuple(pixels[11, 21]) == TINT


def test_a_mask_of_the_whole_picture_is_outlined_along_its_edge() -> None:
    pixels = drawn(np.ones((20, 30), bool), (20, 30))
    assert count(pixels, OUTLINE) == 20 * 30 - 18 * 28
    assert count(pixels, TINT) == 18 * 28


def test_an_empty_mask_is_a_transparent_picture() -> None:
    assert not drawn(np.zeros((20, 30), bool), (20, 30))[..., 3].any()


@pytest.mark.parametrize(("side", "line"), [(240, 1), (480, 2), (960, 4)])
def test_the_line_grows_with_the_picture(side: int, line: int) -> None:
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    pixels = drawn(mask, (side, side))
    assert (pixels[side // 3] == OUTLINE).all(axis=1).sum() == 2 * line
