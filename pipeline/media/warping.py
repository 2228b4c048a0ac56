"""A picture read at the places that an affine transform gives, such as a turned square around a face.

Coordinates, here and wherever faces are: (0, 0) is the middle of the first pixel, x to the right, y down.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MIN_REDUCTION = 1.25  # pixels of the picture in one of the crop, along each side, from which it is made smaller first


def square_transform(x: float, y: float, side_px: float, angle: float, side: int) -> NDArray[np.float64]:
    """[2, 3] from the pixels of a crop (x, y, 1) to those of the picture.

    Args:
        x: middle of the square in the picture.
        y: the same.
        side_px: its side in the picture.
        angle: by which it is turned in radians, from x towards y.
        side: of the crop in its own pixels.

    >>> square_transform(100.0, 50.0, 20.0, 0.0, 10) @ [0.0, 9.0, 1.0]  # first pixel of the last row
    array([91., 59.])
    """
    scale = side_px / side
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = (side - 1) / 2
    return np.column_stack([turn, np.array([x, y]) - turn @ [middle, middle]])


def warp(picture: NDArray[np.uint8], transform: NDArray[np.float64], side: int) -> Tensor:
    """[3, side, side] float32 in 0 to 255: bilinear, black outside.

    Design note: where the crop is much smaller than what it shows, that part of the picture is made smaller first, by a
    filter as wide as its new pixels. Without, a face of twice the crop's size would flicker as it moves.

    Args:
        picture: [H, W, 3] RGB.
        transform: [2, 3] from the crop's pixels to the picture's.
        side: of the crop.
    """
    height, width = picture.shape[:2]
    (a, b, c), (d, e, f) = transform.tolist()
    scale = math.sqrt(abs(a * e - b * d))  # pixels of the picture in one of the crop
    # Only what is needed becomes float: the whole picture would cost more than the crop.
    margin, last = math.ceil(scale) + 1, side - 1
    left, right = _cut(c + min(0, a * last) + min(0, b * last), c + max(0, a * last) + max(0, b * last), margin, width)
    top, bottom = _cut(f + min(0, d * last) + min(0, e * last), f + max(0, d * last) + max(0, e * last), margin, height)
    part = torch.from_numpy(picture[top:bottom, left:right].copy()).permute(2, 0, 1)[None]
    if scale >= MIN_REDUCTION:
        size = [max(1, round((bottom - top) / scale)), max(1, round((right - left) / scale))]
        part = functional.interpolate(part, size, mode="bilinear", antialias=True)
    # grid_sample counts from -1 to 1, between the outer edges of the first and the last pixel. The grid is a sum of a
    # row and a column; affine_grid, a product of matrices, would take longer than all the rest.
    per_x, per_y = 2 / (right - left), 2 / (bottom - top)
    steps, grid = np.arange(side, dtype=np.float32), np.empty((1, side, side, 2), np.float32)
    for axis, row, column, first in (
        (0, a * per_x, b * per_x, (c - left + 0.5) * per_x - 1),
        (1, d * per_y, e * per_y, (f - top + 0.5) * per_y - 1),
    ):
        np.add(steps * row, (steps * column + first)[:, None], out=grid[0, ..., axis])
    places = torch.from_numpy(grid)
    return functional.grid_sample(part.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _cut(low: float, high: float, margin: int, size: int) -> tuple[int, int]:
    """The pixels of a side that a crop from low to high needs; at least one, also where it lies outside."""
    first = min(max(math.floor(low) - margin, 0), size - 1)
    return first, max(min(math.ceil(high) + margin + 1, size), first + 1)
