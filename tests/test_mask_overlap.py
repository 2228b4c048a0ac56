"""IoU and F of masks: equal to AVSBench's evaluation, by hand, and free of batches."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.metrics.mask_overlap import (
    BATCH_CLIPS,
    THRESHOLDS,
    batched_peak,
    centred_ellipse,
    f_curves,
    f_measure,
    overlap,
    overlap_of_counts,
    peak,
    two_valued_curves,
)
from tests.helpers.official_masks import official_f, official_iou


def random_frames(num_clips: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and truth [num_clips * 2, 24, 20]: a fifth of the frames is empty; some scores are exactly 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_clips * 2, 24, 20)
    truth = torch.rand(shape, generator=generator) < torch.rand((shape[0], 1, 1), generator=generator)
    truth[torch.rand(shape[0], generator=generator) < 0.2] = False
    logits = 3 * torch.randn(shape, generator=generator) + 2 * truth.float() - 1
    return logits.where(torch.rand(shape, generator=generator) > 0.05, 200 * logits.sign()), truth


def as_numpy(logits: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return truth.numpy(), torch.sigmoid(logits).numpy()


def test_thresholds_are_those_of_torch_in_float32_and_the_last_is_one() -> None:
    assert np.array_equal(THRESHOLDS, torch.linspace(0, 1 - 1e-10, 255).numpy())
    assert THRESHOLDS[-1] == 1


@pytest.mark.parametrize(("num_clips", "batch_clips"), [(8, BATCH_CLIPS), (9, BATCH_CLIPS), (7, 2), (6, 1), (5, 8)])
def test_published_figures_are_those_of_the_official_evaluation(num_clips: int, batch_clips: int) -> None:
    logits, truth = random_frames(num_clips, seed=num_clips)
    truth[:2] = False  # with a batch of one clip, a batch in which nothing sounds
    of_batch = [slice(2 * start, 2 * (start + batch_clips)) for start in range(0, num_clips, batch_clips)]
    expected = [np.mean([measure(logits[of], truth[of]) for of in of_batch]) for measure in (official_iou, official_f)]
    masks, scores = as_numpy(logits, truth)
    batches = np.repeat(np.arange(num_clips) // batch_clips, 2)
    measured = overlap(masks, scores > 0.5).iou()[:, None], f_curves(masks, scores)
    found = [batched_peak(values, batches) for values in measured]
    assert found == pytest.approx(expected, abs=1e-6)


def test_published_figures_move_with_the_batch_and_those_over_frames_do_not() -> None:
    logits, truth = random_frames(9, seed=1)
    truth[:, 0, 0] = True  # no batch without a curve
    masks, scores = as_numpy(logits, truth)
    iou, curves, clips = overlap(masks, scores > 0.5).iou()[:, None], f_curves(masks, scores), np.arange(18) // 2
    assert batched_peak(iou, clips) == pytest.approx(iou.mean(), abs=1e-12)  # equal batches
    assert abs(batched_peak(iou, clips // 4) - iou.mean()) > 1e-3  # 4, 4 and 1 clip
    by_size = [batched_peak(curves[:16], clips[:16] // size) for size in (1, 2, 4, 8)]
    assert sorted(by_size, reverse=True) == by_size  # the more batches, the more thresholds are chosen
    assert by_size[0] > by_size[1] > peak(curves[:16]) == by_size[3]
    order = np.random.default_rng(0).permutation(18)
    assert peak(curves[order]) == pytest.approx(peak(curves), abs=1e-12)
    assert abs(batched_peak(curves[order], clips // 4) - batched_peak(curves, clips // 4)) > 1e-3
    whole = np.zeros(18)
    assert (batched_peak(iou, whole), batched_peak(curves, whole)) == (iou.mean(), peak(curves))


def test_a_score_on_a_threshold_reaches_it_and_the_float_before_it_does_not() -> None:
    scores = np.stack([np.nextafter(THRESHOLDS, np.float32(-1)), THRESHOLDS, np.nextafter(THRESHOLDS, np.float32(2))])
    scores = scores.clip(0, 1)
    truth = np.ones((1, *scores.shape), bool)
    reached = (scores[:, :, None] >= THRESHOLDS).sum(axis=(0, 1))
    expected = f_measure(reached, reached, np.array(scores.size))
    assert np.array_equal(f_curves(truth, scores[None])[0], expected)


def test_iou_and_f_of_four_pixels_by_hand() -> None:
    truth = np.array([[[True, True, False, False]]])
    scores = np.array([[[0.9, 0.2, 0.6, 0.0]]], np.float32)
    assert overlap(truth, scores > 0.5).iou() == pytest.approx([1 / 3])
    (curve,) = f_curves(truth, scores)
    assert curve[0] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))  # everything: P 1/2, R 1
    assert curve[127] == pytest.approx(1.3 * 0.25 / (0.3 * 0.5 + 0.5))  # at 1/2: P 1/2, R 1/2
    assert curve[200] == pytest.approx(1.3 * 0.5 / (0.3 * 1 + 0.5))  # at 0.79: P 1, R 1/2
    assert curve[254] == 0


def test_where_nothing_sounds_iou_is_the_share_that_is_not_predicted_and_there_is_no_f() -> None:
    truth, scores = np.zeros((1, 2, 2), bool), np.array([[[0.9, 0.1], [0.2, 0.5]]], np.float32)
    assert overlap(truth, scores > 0.5).iou() == pytest.approx([3 / 4])
    curves = f_curves(truth, scores)
    assert np.isnan(curves).all()
    assert np.isnan(peak(curves))
    assert batched_peak(curves, np.zeros(1)) == 0


def test_a_mask_of_two_values_has_two_values_of_f() -> None:
    truth = np.random.default_rng(0).random((3, 6, 5)) < 0.3
    truth[2] = False
    mask = centred_ellipse(6, 5, 0.4)
    curves = f_curves(truth, np.repeat(mask[None].astype(np.float32), 3, axis=0))
    both, predicted, area = ((truth & mask).sum(axis=(1, 2)), np.full(3, mask.sum()), truth.sum(axis=(1, 2)))
    shorter = two_valued_curves(both, predicted, area, np.full(3, 30))
    np.testing.assert_array_equal(curves[:, [0, 1]], shorter)
    np.testing.assert_array_equal(curves[:, 1:], np.repeat(shorter[:, 1:], 254, axis=1))
    assert (
        overlap_of_counts(both, predicted, area, 30).iou().tolist()
        == overlap(truth, mask[None] & (truth | ~truth)).iou().tolist()
    )


def test_no_map_is_below_the_f_of_the_whole_picture() -> None:
    truth = np.zeros((1, 10, 10), bool)
    truth[0, :4, :5] = True  # P 0.2, R 1
    for scores in (np.zeros((1, 10, 10), np.float32), (~truth).astype(np.float32)):
        assert peak(f_curves(truth, scores)) == pytest.approx(1.3 * 0.2 / (0.3 * 0.2 + 1))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.78])
def test_an_ellipse_has_the_share_that_was_asked_for_and_the_pictures_aspect(share: float) -> None:
    mask = centred_ellipse(120, 200, share)
    assert mask.mean() == pytest.approx(share, abs=0.003)
    assert np.array_equal(mask, mask[::-1, ::-1])
    height, width = mask.any(axis=1).sum(), mask.any(axis=0).sum()
    assert width / height == pytest.approx(200 / 120, rel=0.04)


def test_without_frames_there_is_no_figure_and_other_shapes_or_scores_are_refused() -> None:
    empty = np.zeros((0, 4, 4), bool)
    assert np.isnan(batched_peak(overlap(empty, empty).iou()[:, None], np.zeros(0)))
    assert np.isnan(batched_peak(f_curves(empty, empty.astype(np.float32)), np.zeros(0)))
    with pytest.raises(ValueError, match=r"\[1, 4, 4\] and \[1, 4, 5\]: expected two of \[N, H, W\]"):
        overlap(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool))
    for wrong in (np.full((1, 2, 2), np.nan, np.float32), np.full((1, 2, 2), 1.5, np.float32), np.zeros((1, 2, 2))):
        with pytest.raises(ValueError, match="expected float32 from 0 to 1"):
            f_curves(np.zeros((1, 2, 2), bool), wrong)
