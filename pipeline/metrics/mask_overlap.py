"""Which pixels sound: IoU and F of masks, as AVSBench's evaluation computes them, and the same free of its batches.

Conventions
-----------
`truth` is [N, H, W] bool, `scores` are [N, H, W] float32 in [0, 1]: the pixels of N frames. A pixel is predicted where
its score exceeds 1/2; F is taken at each of 255 THRESHOLDS, where a score reaches it. A frame in which nothing sounds
has an IoU, the share of pixels that are not predicted, and no F.

The published figures are means over batches, so they move with the size and order of the batches: IoU by a short last
one, which counts as much as the others, and F because its best threshold is chosen for each batch anew. `batched_peak`
gives them. `peak`, the mean over frames and F at the best threshold of all frames, does not move.

Every score reaches threshold 0, so no F is below that of a mask of the whole picture, not even that of an empty mask.

References
----------
Zhou et al. 2022, "Audio-Visual Segmentation", arXiv:2207.05042: mIoU and F with beta^2 = 0.3 of its evaluation code.
"""

from typing import NamedTuple

import numpy as np

MIN_SCORE = 0.5  # a pixel is predicted above it
NUM_THRESHOLDS = 255
BETA2 = 0.3  # below 1: precision counts more than recall
BATCH_CLIPS = 4  # of the published figures
IOU_EPSILON = 1e-7


def _thresholds() -> np.ndarray:
    """[NUM_THRESHOLDS] float32: torch.linspace(0, 1 - 1e-10), whose halves are computed from either end, rounded once.

    Float32 has no 1 - 1e-10: the last is 1, which a score reaches only if its sigmoid was rounded up.
    """
    places = np.arange(NUM_THRESHOLDS)
    step = np.float64(np.float32(1) / np.float32(NUM_THRESHOLDS - 1))
    return np.where(places < NUM_THRESHOLDS // 2, step * places, 1 - step * places[::-1]).astype(np.float32)


THRESHOLDS = _thresholds()


class Overlap(NamedTuple):
    """Counts of pixels [N] whose ratio is the IoU of a frame."""

    intersection: np.ndarray
    """Where nothing sounds, the pixels that are not predicted."""
    union: np.ndarray
    """Where nothing sounds, all pixels."""

    def iou(self) -> np.ndarray:
        """[N] intersection over union."""
        return self.intersection / (self.union + IOU_EPSILON)


def overlap(truth: np.ndarray, predicted: np.ndarray) -> Overlap:
    """Intersection and union of masks, both [N, H, W] bool; the rule of frames in which nothing sounds is AVSBench's.

    >>> overlap(np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]], bool), np.array([[[0, 1, 1, 0]]] * 2, bool))
    Overlap(intersection=array([1, 2]), union=array([3, 4]))
    """
    _check(truth, predicted)
    both, predictions, areas = ((mask.sum(axis=(1, 2))) for mask in (truth & predicted, predicted, truth))
    return overlap_of_counts(both, predictions, areas, truth[0].size if len(truth) else 0)


def overlap_of_counts(
    both: np.ndarray, predicted: np.ndarray, area: np.ndarray, num_pixels: int | np.ndarray
) -> Overlap:
    """What `overlap` gives, of counts of pixels: in both masks, predicted, of the truth [N], and of a frame."""
    is_empty = area == 0
    return Overlap(
        np.where(is_empty, num_pixels - predicted, both), np.where(is_empty, num_pixels, area + predicted - both)
    )


def f_curves(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[N, NUM_THRESHOLDS] F of each frame at each threshold; NaN where nothing sounds.

    Equal to 255 comparisons of every score, at the price of a few: scores fall into the intervals between thresholds,
    and counts of those at or above one are sums from the end.
    """
    _check(truth, scores)
    num_frames, num_bins = len(truth), NUM_THRESHOLDS + 1
    cells = _num_reached(scores) + num_bins * truth + 2 * num_bins * np.arange(num_frames)[:, None, None]
    counts = np.bincount(cells.ravel(), minlength=2 * num_bins * num_frames)
    # those that reach i thresholds or more, of either truth, for i = 1, 2, ...
    above = counts.reshape(num_frames, 2, num_bins)[:, :, :0:-1].cumsum(axis=2)[:, :, ::-1]
    return f_measure(above[:, 1], above.sum(axis=1), truth.sum(axis=(1, 2))[:, None])


def f_measure(both: np.ndarray, predicted: np.ndarray, area: np.ndarray) -> np.ndarray:
    """F with BETA2 from counts of pixels: in both masks, predicted, of the truth; NaN where the truth is empty.

    (1 + b) P R / (b P + R) with P = both / predicted and R = both / area is (1 + b) both / (b area + predicted). It is
    0 where nothing is predicted.
    """
    return np.where(area > 0, (1 + BETA2) * both / np.maximum(BETA2 * area + predicted, BETA2), np.nan)


def two_valued_curves(both: np.ndarray, predicted: np.ndarray, area: np.ndarray, num_pixels: np.ndarray) -> np.ndarray:
    """[N, 2] F of masks of 0 and 1, at the first threshold and at all others, from counts [N] as of `f_measure`."""
    return np.stack([f_measure(area, num_pixels, area), f_measure(both, predicted, area)], axis=1)


def peak(curves: np.ndarray) -> float:
    """Largest value of the mean of all curves [N, M] but those of NaN: F at its best threshold; NaN without any.

    Of IoUs [N, 1] it is their mean.
    """
    valid = curves[~np.isnan(curves[:, 0])]
    return float(valid.mean(axis=0, dtype=np.float64).max()) if len(valid) else float("nan")


def batched_peak(curves: np.ndarray, batches: np.ndarray) -> float:
    """The published figures: mean over batches of their `peak`, 0 for one without any; NaN without frames.

    Args:
        curves: [N, M] F of each frame at each threshold, NaN where nothing sounds; or IoUs, with M = 1.
        batches: [N] number of each frame's batch; those of a batch are neighbours.
    """
    parts = np.split(curves, np.flatnonzero(np.diff(batches)) + 1) if len(curves) else []
    return float(np.mean([np.nan_to_num(peak(part)) for part in parts])) if parts else float("nan")


def centred_ellipse(height: int, width: int, share: float) -> np.ndarray:
    """[H, W] bool: an ellipse in the middle of the picture, of its aspect and of this share of its pixels.

    Above pi / 4 = 0.785 the borders cut it, and it has less.
    """
    rows, columns = ((np.arange(size) + 0.5) / size * 2 - 1 for size in (height, width))
    return rows[:, None] ** 2 + columns**2 <= 4 * share / np.pi


def _num_reached(scores: np.ndarray) -> np.ndarray:
    """How many thresholds each score reaches, as comparisons in float32 have it."""
    guess = (scores * np.float32(NUM_THRESHOLDS - 1)).astype(np.int64) + 1  # wrong by one at most
    guess -= scores < THRESHOLDS[guess - 1]
    return guess + (scores >= np.append(THRESHOLDS, np.float32(np.inf))[guess])


def _check(truth: np.ndarray, found: np.ndarray) -> None:
    if truth.ndim != 3 or truth.shape != found.shape:
        raise ValueError(f"{list(truth.shape)} and {list(found.shape)}: expected two of [N, H, W].")
    if found.dtype != bool and (found.dtype != np.float32 or not ((found >= 0) & (found <= 1)).all()):
        raise ValueError(f"scores of {found.dtype}: expected float32 from 0 to 1.")
