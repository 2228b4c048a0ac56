"""Rows of frames, counted by hand, and what trivial masks get of them."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation.frame_rows import (
    frame_rows,
    mask_shares,
    peak_interval,
    stored_curves,
    trivial_figures,
)
from pipeline.masks.masked_clips import MaskedClip
from pipeline.metrics.bootstrap import bootstrap_interval
from pipeline.metrics.mask_overlap import centred_ellipse, f_curves, overlap, peak
from schemas.fields import from_rows
from schemas.frames import FRAMES


def clip(masks: np.ndarray, valid: list[bool]) -> MaskedClip:
    facts = {"video_id": "a", "frame_times_s": [5.5 + k for k in range(len(masks))]}
    frames = np.zeros((len(masks), 3, *masks.shape[1:]), np.uint8)
    return MaskedClip("a_5", frames, np.zeros(8, np.float32), masks, np.array(valid), facts)


def test_a_row_counts_the_pixels_of_a_frame_with_a_mask_and_keeps_the_predicted_one() -> None:
    masks = np.zeros((3, 2, 4), bool)
    masks[1, 0] = True  # 4 of 8 pixels
    scores = np.zeros((3, 2, 4), np.float32)
    scores[1, :, 0], scores[2, 0, :2] = 0.75, 0.9
    first, second = frame_rows(clip(masks, [False, True, True]), scores, "swapped", "b_0", 0.4)
    expected = {
        "clip_id": "a_5",
        "video_id": "a",
        "frame": 1,
        "time_s": 6.5,
        "sound": "swapped",
        "sound_clip_id": "b_0",
        "pixels": 8,
        "area": 4,
        "predicted": 2,
        "is_empty": False,
        "intersection": 1,
        "union": 5,
        "iou": pytest.approx(1 / 5),
        "f_max": pytest.approx(1.3 * 4 / (0.3 * 4 + 8)),  # of the whole picture: P 1/2, R 1; of 2 pixels: P 1/2, R 1/4
    }
    assert {name: first[name] for name in expected} == expected
    assert first["f_curve"][100] == pytest.approx(1.3 * 1 / (0.3 * 4 + 2))
    pictures = [np.asarray(Image.open(io.BytesIO(first[name]))) for name in ("true_mask", "predicted_mask")]
    assert pictures[0].tolist() == [[True] * 4, [False] * 4]
    assert pictures[1].tolist() == [[True, False, False, False]] * 2
    assert (second["frame"], second["is_empty"], second["f_max"], second["f_curve"]) == (2, True, None, None)
    assert (second["intersection"], second["union"], second["iou"]) == (6, 8, pytest.approx(6 / 8))
    from_rows([first, second], FRAMES, "here")


def test_curves_come_back_as_they_were_and_trivial_masks_get_what_their_pixels_get() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((6, 9, 7)) < 0.3
    masks[2] = False
    scores = rng.random(masks.shape, dtype=np.float32)
    rows = from_rows(frame_rows(clip(masks, [True] * 6), scores, "own", "a_5", 0.5), FRAMES, "here")
    np.testing.assert_array_equal(stored_curves(rows), f_curves(masks, scores).astype(np.float32))
    figures = trivial_figures(rows)
    drawn = {"empty_mask": np.zeros((9, 7)), "full_mask": np.ones((9, 7)), "ellipse": centred_ellipse(9, 7, 0.5)}
    assert figures.keys() == drawn.keys()
    for name, mask in drawn.items():
        repeated = np.repeat(mask[None].astype(np.float32), 6, axis=0)
        iou, curves = figures[name]
        np.testing.assert_array_equal(iou, overlap(masks, repeated > 0.5).iou())
        assert peak(curves) == pytest.approx(peak(f_curves(masks, repeated)))
    assert figures["empty_mask"][0].tolist() == [0, 0, pytest.approx(1), 0, 0, 0]
    assert figures["full_mask"][0][2] == 0


def test_without_frames_and_where_nothing_sounds_at_all_there_are_no_curves() -> None:
    rows = from_rows([], FRAMES, "here")
    assert stored_curves(rows).shape[0] == 0
    assert all(len(iou) == len(curves) == 0 for iou, curves in trivial_figures(rows).values())
    silent = frame_rows(clip(np.zeros((2, 4, 4), bool), [True] * 2), np.zeros((2, 4, 4), np.float32), "own", "a_5", 0.1)
    assert np.isnan(stored_curves(from_rows(silent, FRAMES, "here"))).all()


def test_an_interval_by_sums_of_videos_is_that_of_resampled_frames() -> None:
    rng = np.random.default_rng(1)
    videos = np.repeat([f"v{number}" for number in range(7)], [5, 5, 1, 3, 5, 2, 5])
    curves = rng.random((len(videos), 9))
    curves[[0, 6, 7]] = np.nan
    expected = bootstrap_interval(lambda drawn: peak(curves[drawn]), videos)
    assert peak_interval(curves, videos) == pytest.approx(expected)
    assert (
        peak_interval(curves[:, :1], videos).low < np.nanmean(curves[:, 0]) < peak_interval(curves[:, :1], videos).high
    )


def test_a_moment_has_the_share_of_its_joined_mask_or_the_sum_of_its_categories_and_silence_does_not_count() -> None:
    size = {"height": 10, "width": 20}
    rows = [
        {"video_id": "a", "time_s": 0.5, "category": None, "area": 50} | size,
        {"video_id": "a", "time_s": 0.5, "category": "dog", "area": 40} | size,
        {"video_id": "a", "time_s": 1.5, "category": "dog", "area": 20} | size,
        {"video_id": "a", "time_s": 1.5, "category": "horn", "area": 60} | size,
        {"video_id": "b", "time_s": 0.5, "category": None, "area": 0} | size,
    ]
    assert mask_shares(rows) == pytest.approx([0.25, 0.4])
