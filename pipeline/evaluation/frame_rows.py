"""Rows of the table `frames`, and figures of sets of them: what a model of masks and trivial masks reach."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.evaluation.evaluating import Row
from pipeline.masks.mask_pictures import encode_mask
from pipeline.metrics.bootstrap import Interval, bootstrap_interval
from pipeline.metrics.mask_overlap import (
    MIN_SCORE,
    centred_ellipse,
    f_curves,
    overlap,
    overlap_of_counts,
    two_valued_curves,
)

TRIVIAL = EMPTY_MASK, FULL_MASK, ELLIPSE = "empty_mask", "full_mask", "ellipse"


def mask_shares(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Share of the picture that sounds at each moment of a video, of rows of the table `masks`, where anything does.

    A moment that has masks of categories alone gets the sum of their areas.
    """
    moments: dict[tuple[str, float], dict[str | None, float]] = {}
    for row in rows:
        of_moment = moments.setdefault((row["video_id"], row["time_s"]), {})
        of_moment[row["category"]] = row["area"] / (row["height"] * row["width"])
    shares = [of[None] if None in of else min(1.0, sum(of.values())) for of in moments.values()]
    return [share for share in shares if share > 0]


def frame_rows(clip: Any, scores: np.ndarray, sound: str, sound_clip_id: str | None, share: float) -> list[Row]:
    """Rows of the table `frames` of one clip with one sound.

    Args:
        clip: a `MaskedClip`.
        scores: [K, H, W] float32 probability that a pixel sounds.
        sound: one of SOUNDS.
        sound_clip_id: the clip whose sound it is.
        share: of the ellipse in the picture.
    """
    valid = np.flatnonzero(clip.mask_valid)
    truth, scores = clip.masks[valid], scores[valid]
    predicted, ellipse = scores > MIN_SCORE, centred_ellipse(truth.shape[1], truth.shape[2], share)
    counts, curves = overlap(truth, predicted), f_curves(truth, scores)
    return [
        {
            "clip_id": clip.key,
            "video_id": clip.facts["video_id"],
            "frame": int(frame),
            "time_s": clip.facts["frame_times_s"][frame],
            "sound": sound,
            "sound_clip_id": sound_clip_id,
            "pixels": truth[place].size,
            "area": int(truth[place].sum()),
            "predicted": int(predicted[place].sum()),
            "is_empty": not truth[place].any(),
            "intersection": int(counts.intersection[place]),
            "union": int(counts.union[place]),
            "iou": float(counts.iou()[place]),
            "f_max": float(curves[place].max()) if truth[place].any() else None,
            "f_curve": curves[place].tolist() if truth[place].any() else None,
            "ellipse": int(ellipse.sum()),
            "ellipse_intersection": int((truth[place] & ellipse).sum()),
            "true_mask": encode_mask(truth[place]),
            "predicted_mask": encode_mask(predicted[place]),
        }
        for place, frame in enumerate(valid)
    ]


def stored_curves(rows: pa.Table) -> np.ndarray:
    """[N, thresholds] the column `f_curve`, NaN where it is null."""
    column = rows["f_curve"].combine_chunks()
    values = column.flatten().to_numpy()
    curves = np.full((len(column), len(values) // max(1, len(column) - column.null_count) or 1), np.nan, np.float32)
    curves[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, curves.shape[1])
    return curves


def trivial_figures(rows: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """IoU [N] and F curve [N, 2] of each of TRIVIAL, of frames' rows."""
    pixels, area, ellipse, shared = (
        rows[name].to_numpy() for name in ("pixels", "area", "ellipse", "ellipse_intersection")
    )
    nothing = np.zeros_like(pixels)
    counts = {EMPTY_MASK: (nothing, nothing), FULL_MASK: (area, pixels), ELLIPSE: (shared, ellipse)}
    return {
        name: (
            overlap_of_counts(both, predicted, area, pixels).iou(),
            two_valued_curves(both, predicted, area, pixels),
        )
        for name, (both, predicted) in counts.items()
    }


def peak_interval(values: np.ndarray, videos: np.ndarray) -> Interval:
    """Interval of `peak` of values [N, M] of frames of videos [N], whole videos drawn.

    A resample adds up sums of videos, not frames, which is as many times faster as a video has frames.
    """
    names, video_of = np.unique(videos, return_inverse=True)
    is_valid = ~np.isnan(values[:, 0])
    counts = np.bincount(video_of[is_valid], minlength=len(names))
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, video_of[is_valid], values[is_valid])

    def of(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(names))
        total = times @ counts
        return float((times @ sums).max() / total) if total else float("nan")

    return bootstrap_interval(of, np.arange(len(names)))
