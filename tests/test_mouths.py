"""Crops of mouths: the transform by arithmetic, the pixels by a chessboard that was moved in a known way."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.media.mouths import EYES_PX, MEAN_FACE, MOUTH, SIDE, crop_mouth, mouth_transform


def moved(scale: float, angle: float, x: float, y: float) -> NDArray[np.float64]:
    """The mean face with eyes `scale` px apart, turned, its eyes' middle at a place."""
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return MEAN_FACE @ turn.T + [x, y]


@pytest.mark.parametrize(("scale", "angle"), [(60.0, 0.0), (20.0, 0.3), (150.0, -0.7)])
def test_a_moved_mean_face_gives_back_how_it_was_moved(scale: float, angle: float) -> None:
    transform = mouth_transform(moved(scale, angle, 300.0, 200.0))
    right_eye = (MEAN_FACE[0] - MOUTH) * EYES_PX + (SIDE - 1) / 2
    assert transform @ [*right_eye, 1] == pytest.approx(moved(scale, angle, 300.0, 200.0)[0])
    assert transform[:, 0] == pytest.approx([scale / 60 * math.cos(angle), scale / 60 * math.sin(angle)])
    middle = transform @ [47.5, 47.5, 1]  # the mouth is the middle of the crop
    assert middle == pytest.approx(moved(scale, angle, 300.0, 200.0)[3:].mean(axis=0))


def test_a_transform_is_the_nearest_similarity_and_never_mirrors() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (5, 2))
    points = moved(80.0, 0.4, 200.0, 150.0) + noise
    crop = (MEAN_FACE - MOUTH) * EYES_PX + (SIDE - 1) / 2
    rows = [[x, -y, 1, 0] for x, y in crop] + [[y, x, 0, 1] for x, y in crop]
    a, b, x, y = np.linalg.lstsq(np.array(rows), points.T.reshape(-1), rcond=None)[0]
    assert mouth_transform(points) == pytest.approx(np.array([[a, -b, x], [b, a, y]]))
    mirrored = mouth_transform(points * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) > 0


CELL = 12  # pixels of the crop


def chessboard(transform: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """A picture with a chessboard that lies in the crop's pixels as cells of CELL from its outer edge: each pixel the
    mean of 4x4 places in it, each of which is mapped back by the inverse of the transform."""
    places = (np.arange(size * 4) + 0.5) / 4 - 0.5
    x, y = np.meshgrid(places, places)
    inverse = np.linalg.inv(transform[:, :2])
    back = (np.stack([x, y], axis=-1) - transform[:, 2]) @ inverse.T + 0.5
    white = (np.floor(back[..., 0] / CELL) + np.floor(back[..., 1] / CELL)) % 2
    grey = white.reshape(size, 4, size, 4).mean(axis=(1, 3))
    return np.repeat(np.rint(255 * grey).astype(np.uint8)[..., None], 3, axis=2)


def crossings(line: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Where a line of pixels crosses mid grey, in pixels from the outer edge."""
    level = line.astype(float) - 127.5
    before = np.flatnonzero(level[:-1] * level[1:] < 0)
    return before + level[before] / (level[before] - level[before + 1]) + 0.5


@pytest.mark.parametrize(
    ("scale", "angle"), [(30.0, 0.0), (60.0, 0.35), (75.0, -0.2), (110.0, 0.5), (160.0, -0.8), (300.0, 0.1)]
)
def test_a_chessboard_that_was_warped_comes_back_within_half_a_pixel(scale: float, angle: float) -> None:
    points = moved(scale, angle, 0.0, 0.0)
    transform = mouth_transform(points - points[3:].mean(axis=0) + np.array([321.3, 318.8]))
    crop = crop_mouth(chessboard(transform, 640), transform)
    assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)
    expected = np.arange(CELL, SIDE, CELL)
    for middle in range(CELL // 2, SIDE, CELL):  # lines through the middles of cells
        assert np.abs(crossings(crop[middle, :, 0]) - expected).max() < 0.5
        assert np.abs(crossings(crop[:, middle, 1]) - expected).max() < 0.5


def test_outside_of_the_picture_is_black_and_the_same_call_gives_the_same_bytes() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)
    picture.flags.writeable = False  # as a decoder's are
    transform = mouth_transform(moved(60.0, 0.2, 95.0, 20.0))
    crop = crop_mouth(picture, transform)
    assert (crop[40, 0], crop[40, -1]) == pytest.approx((200, 0))
    assert crop_mouth(picture, transform).tobytes() == crop.tobytes()
    far_away = mouth_transform(moved(60.0, 0.2, 5000.0, -800.0))
    assert not crop_mouth(picture, far_away).any()
