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
    scale = math.sqrt(abs(float(np.linalg.det(transform[:, :2]))))  # pixels of the picture in one of the crop
    corners = transform @ [[0, side - 1, 0, side - 1], [0, 0, side - 1, side - 1], [1, 1, 1, 1]]
    # Only what is needed becomes float: the whole picture would cost more than the crop.
    margin = math.ceil(scale) + 1
    (left, right), (top, bottom) = (
        _cut(float(ends.min()), float(ends.max()), margin, size)
        for ends, size in zip(corners, (width, height), strict=True)
    )
    part = torch.from_numpy(np.array(picture[top:bottom, left:right])).permute(2, 0, 1)[None]
    if scale >= MIN_REDUCTION:
        size = [max(1, round((bottom - top) / scale)), max(1, round((right - left) / scale))]
        part = functional.interpolate(part, size, mode="bilinear", antialias=True)
    # grid_sample counts from -1 to 1, between the outer edges of the first and the last pixel.
    shown = np.array([right - left, bottom - top], np.float64)
    to_grid = (2 * (transform - [[0, 0, left], [0, 0, top]]) + [[0, 0, 1], [0, 0, 1]]) / shown[:, None]
    right_of, below, first = torch.from_numpy(to_grid.T.astype(np.float32))
    steps = torch.arange(side, dtype=torch.float32)[:, None]
    # affine_grid would give the same, at half of what all the rest costs.
    grid = (steps * right_of)[None, :] + (steps * below + first - 1)[:, None]
    return functional.grid_sample(part.float(), grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[
        0
    ]


def _cut(low: float, high: float, margin: int, size: int) -> tuple[int, int]:
    """The pixels of a side that a crop from low to high needs; at least one, also where it lies outside."""
    first = min(max(math.floor(low) - margin, 0), size - 1)
    return first, max(min(math.ceil(high) + margin + 1, size), first + 1)
