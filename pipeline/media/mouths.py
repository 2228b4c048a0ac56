"""Five points of a face -> a crop of its mouth, always upright and of one size."""

import numpy as np
from numpy.typing import NDArray

from pipeline.media.warping import warp

SIDE = 96
EYES_PX = 60.0
"""Pixels of the crop from eye to eye, which do not lie in it: the crop is 1.6 times as wide, from nose to chin."""
# Right eye, left eye, tip of the nose, corners of the mouth (the viewer's left first), in distances between the eyes
# from their middle: the mean over 17 faces of 13 talking-head videos, made symmetric.
MEAN_FACE = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.6], [-0.4, 1.13], [0.4, 1.13]])
MOUTH = MEAN_FACE[3:].mean(axis=0)
_TO_COMPLEX = np.array([1, 1j])
_MEAN_FACE = MEAN_FACE @ _TO_COMPLEX


def mouth_transform(points: NDArray[np.floating], side: int = SIDE) -> NDArray[np.float64]:
    """[2, 3] from the pixels of the crop, (x, y, 1), to those of the picture: the similarity nearest to the points.

    Least squares over shift, turn and scale (Umeyama 1991, without mirroring) from the mean face to the points.

    Args:
        points: [5, 2] in pixels of the picture, in the order of MEAN_FACE.
        side: of the crop.
    """
    # As complex numbers a similarity is a product: the least-squares factor is <source, target> / <source, source>.
    crop = (_MEAN_FACE - _MEAN_FACE[3:].mean()) * (EYES_PX * side / SIDE) + (side - 1) / 2 * (1 + 1j)
    found = points @ _TO_COMPLEX
    from_middle, to_middle = complex(crop.sum() / 5), complex(found.sum() / 5)
    source = crop - from_middle
    factor = complex(np.vdot(source, found) / np.vdot(source, source))
    shift = to_middle - factor * from_middle
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def crop_mouth(picture: NDArray[np.uint8], transform: NDArray[np.floating], side: int = SIDE) -> NDArray[np.uint8]:
    """[side, side, 3] RGB: the picture where the transform says, black outside of it.

    Args:
        picture: [H, W, 3] RGB.
        transform: [2, 3] of `mouth_transform`, for the same side.
        side: of the crop.
    """
    found = warp(picture, np.asarray(transform, np.float64), side)
    return np.asarray(found.add_(0.5).byte().permute(1, 2, 0).contiguous().numpy(), np.uint8)
