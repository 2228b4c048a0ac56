"""Which sources are kept, and how much of each: a weight in [0, 1] per source and window.

By default a source's weight is its probability to be on screen; a threshold makes it 0 or 1. A region of the picture
multiplies it with how much of the source's attention lies there; spans of time choose sources that sound in them, on
screen or not.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.inference.estimates import Estimate

AT_SHARE = 0.25  # side of the region around a point, over that of the picture
MIN_OWN_POWER = 0.5  # in the spans, over the source's mean over the whole video
MIN_LOUDEST_POWER = 0.01  # in the spans, over the loudest source's: the 20 dB of FUSS's rule for active sources


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture, in pixels from its upper left corner; a point has no size."""

    x: float
    y: float
    width: float = 0.0
    height: float = 0.0

    def within(self, picture: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom as shares of the picture's sides, those around a point cut at its edges.

        Raises:
            ClipError: it is not inside the picture (region).
        """
        sides = [(self.x, self.width, picture[0]), (self.y, self.height, picture[1])]
        for start, length, side in sides:
            if start < 0 or start + length > side:
                what = f"{self.width:g} x {self.height:g} pixels from " if self.width else ""
                raise ClipError(
                    "region",
                    f"{what}({self.x:g}, {self.y:g}) is outside the picture, which has {picture[0]} x {picture[1]} "
                    "pixels.",
                )
        margin = 0.0 if self.width else AT_SHARE / 2
        (left, right), (top, bottom) = (
            (max(0.0, start / side - margin), min(1.0, (start + length) / side + margin))
            for start, length, side in sides
        )
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds of the video's time."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is kept of a video's sound."""

    threshold: float | None = None
    """Weights of at least this become 1, others 0."""
    region: Region | None = None
    """Keep what is heard from there."""
    spans: tuple[Span, ...] = ()
    """Keep what sounds then; without a region or a threshold."""


def weights(estimate: Estimate, threshold: float | None, area: tuple[float, float, float, float] | None) -> np.ndarray:
    """[S] weight of each source in a window: its probability, times that of its attention if an area is given."""
    found = estimate.probabilities
    if area is not None:
        found = found * region_weights(estimate.attention, area)
    return found if threshold is None else (found >= threshold).astype(np.float32)


def region_weights(attention: np.ndarray, area: tuple[float, float, float, float]) -> np.ndarray:
    """[S] how much denser a source's attention is inside an area than outside: inside / (inside + outside).

    A source that looks everywhere alike has 0.5, whatever the size of the area; one that looks only there has 1.

    Args:
        attention: [S, K, rows, columns] of sum 1 per source.
        area: left, top, right and bottom as shares of the frame's sides.

    >>> corner = np.zeros((1, 1, 4, 4)); corner[0, 0, 0, 0] = 1
    >>> [region_weights(a, (0, 0, 0.5, 0.5)).round(6).tolist() for a in (corner, np.full((1, 1, 4, 4), 1 / 16))]
    [[1.0], [0.5]]
    """
    left, top, right, bottom = area
    covered = np.outer(
        _covered(top, bottom, attention.shape[-2]), _covered(left, right, attention.shape[-1])
    )  # [rows, columns] share of each cell
    size = covered.mean()
    if size > 1 - 1e-9:
        return np.ones(len(attention), np.float32)
    inside = (attention * covered).sum(axis=(1, 2, 3)) / size
    outside = (attention * (1 - covered)).sum(axis=(1, 2, 3)) / (1 - size)
    return (inside / np.maximum(inside + outside, np.finfo(np.float32).tiny)).astype(np.float32)


def _covered(start: float, end: float, num_cells: int) -> np.ndarray:
    """[num_cells] share of each of the cells between 0 and 1 that lies between start and end."""
    edges = np.arange(num_cells + 1) / num_cells
    return np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None) * num_cells


def picture_in_frame(spec: ClipSpec, shape: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the picture in the model's frame, as shares of its sides.

    Args:
        spec: how pictures are fitted into frames.
        shape: width over height of the picture as it is shown.

    >>> picture_in_frame(ClipSpec(), 2.0), picture_in_frame(ClipSpec(fit="pad"), 2.0)
    ((0.0, 0.0, 1.0, 1.0), (0.0, 0.25, 1.0, 0.75))
    """
    if spec.fit == "stretch":
        return 0.0, 0.0, 1.0, 1.0
    relative = shape * spec.frame_height / spec.frame_width
    width, height = min(1.0, relative), min(1.0, 1 / relative)
    return (1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2


def area_in_frame(
    region: Region, picture: tuple[int, int], shape: float, spec: ClipSpec
) -> tuple[float, float, float, float]:
    """Where a region of the picture lies in the model's frame: left, top, right, bottom as shares of its sides.

    Args:
        region: in the picture.
        picture: its width and height in pixels.
        shape: width over height as it is shown.
        spec: how pictures are fitted into frames.

    Raises:
        ClipError: it is not inside the picture (region).
    """
    frame = picture_in_frame(spec, shape)
    left, top, right, bottom = region.within(picture)
    width, height = frame[2] - frame[0], frame[3] - frame[1]
    return frame[0] + left * width, frame[1] + top * height, frame[0] + right * width, frame[1] + bottom * height


def sounding(in_spans: np.ndarray, overall: np.ndarray) -> np.ndarray:
    """[S] whether each source sounds in the spans.

    It does if its power there is at least half of its mean over the whole video, so that a trace of another source that
    leaks into it does not count, and at least a hundredth of the loudest source's there.

    Args:
        in_spans: [S] mean power in the spans.
        overall: [S] mean power over the whole video.
    """
    return (in_spans > 0) & (in_spans >= MIN_OWN_POWER * overall) & (in_spans >= MIN_LOUDEST_POWER * in_spans.max())
