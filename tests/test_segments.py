"""Segment figures against cases worked out by hand and against a plain re-implementation that tries every pairing."""

import itertools
import math

import numpy as np
import pytest

from pipeline.metrics.segments import (
    BACKGROUND,
    category_accuracy,
    commonest_category,
    event_f1,
    foreground_accuracy,
    segment_accuracy,
    whole_clips,
)

# 0 is a dog, 1 a violin, . is background
TRUTH = ("00..", "1111", "....", "0011")
PREDICTED = ("0..0", "1100", "1...", "0.11")
LIKELIEST = ("0000", "1100", "1111", "0011")


def categories(rows: tuple[str, ...]) -> np.ndarray:
    return np.array([[BACKGROUND if mark == "." else int(mark) for mark in row] for row in rows])


T, P, L = categories(TRUTH), categories(PREDICTED), categories(LIKELIEST)


def test_figures_of_four_clips_counted_by_hand() -> None:
    # by clip: 2 + 2 + 3 + 3 segments right; 2 + 4 + 3 + 3 rightly event or not; category 2 of 2, 2 of 4, -, 4 of 4
    assert segment_accuracy(T, P).of() == 10 / 16
    assert foreground_accuracy(T, P).of() == 12 / 16
    assert category_accuracy(T, L).of() == 8 / 10
    # events: true 1 + 1 + 0 + 2; predicted 2 + 2 + 1 + 2; found with IoU 1/2, 1/2, -, 1/2 and 1
    assert event_f1(T, P).of() == pytest.approx(2 * 4 / (4 + 7))
    assert event_f1(T, P, 0.6).of() == pytest.approx(2 * 1 / (4 + 7))


def test_the_anchors_of_four_clips_counted_by_hand() -> None:
    nothing = np.full_like(T, BACKGROUND)
    assert segment_accuracy(T, nothing).of() == 6 / 16
    assert event_f1(T, nothing).of() == 0
    # the perfect classifier: 0 0 (dog of the first), 1, 0 (there is no event), 0 (the smaller of two equal ones)
    np.testing.assert_array_equal(whole_clips(T), [[0] * 4, [1] * 4, [0] * 4, [0] * 4])
    assert segment_accuracy(T, whole_clips(T)).of() == (2 + 4 + 0 + 2) / 16
    # its events: one per clip; IoU 1/2, 1, -, 1/2
    assert event_f1(T, whole_clips(T)).of() == pytest.approx(2 * 3 / (4 + 4))
    # violin: 4 + 2 of 10 segments with an event
    assert category_accuracy(T, commonest_category(T)).of() == 6 / 10


def test_with_one_category_per_clip_the_two_anchors_share_out_all_segments() -> None:
    rng = np.random.default_rng(0)
    truth = np.where(rng.random((200, 10)) < 0.6, rng.integers(0, 5, (200, 1)), BACKGROUND)
    anchors = [np.full_like(truth, BACKGROUND), whole_clips(truth)]
    assert sum(segment_accuracy(truth, anchor).of() for anchor in anchors) == pytest.approx(1)


def plain_events(row: list[int]) -> list[tuple[int, int, int]]:
    """(category, first, end) of every run, by going through the segments."""
    found: list[tuple[int, int, int]] = []
    for place, category in enumerate(row):
        if found and found[-1][0] == category and found[-1][2] == place:
            found[-1] = (category, found[-1][1], place + 1)
        elif category != BACKGROUND:
            found.append((category, place, place + 1))
    return found


def plain_iou(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    first, second = (set(range(*event[1:])) for event in (one, other))
    return len(first & second) / len(first | second) if one[0] == other[0] else 0.0


def most_pairs(true: list[tuple[int, int, int]], predicted: list[tuple[int, int, int]], min_iou: float) -> int:
    """The most pairs that any assignment of predicted to true events has."""
    few, many = sorted((true, predicted), key=len)
    counts = (
        sum(plain_iou(one, other) >= min_iou for one, other in zip(few, order, strict=True))
        for order in itertools.permutations(many, len(few))
    )
    return max(counts, default=0)


@pytest.mark.parametrize("min_iou", [0.5, 0.75, 1.0])
def test_events_are_paired_as_the_best_of_all_assignments_pairs_them(min_iou: float) -> None:
    rng = np.random.default_rng(int(100 * min_iou))
    # few categories and short clips: many events meet, and up to 4 in a clip keep all assignments cheap
    truth, predicted = (rng.integers(-1, 2, (400, 7)) for _ in range(2))
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, predicted)
    ratio = event_f1(truth, predicted, min_iou)
    for row in range(len(truth)):
        events = [plain_events(each[row].tolist()) for each in (truth, predicted)]
        assert ratio.denominator[row] == len(events[0]) + len(events[1])
        assert ratio.numerator[row] == 2 * most_pairs(*events, min_iou), (truth[row], predicted[row])
    assert 0 < ratio.of() < 1


def test_every_figure_is_that_of_a_loop_over_segments() -> None:
    rng = np.random.default_rng(1)
    truth, predicted, likeliest = (
        rng.integers(-1, 3, (50, 10)),
        rng.integers(-1, 3, (50, 10)),
        rng.integers(0, 3, (50, 10)),
    )
    right = events = of_category = num_foreground = 0
    for t, p, best in zip(truth.ravel(), predicted.ravel(), likeliest.ravel(), strict=True):
        right += t == p
        num_foreground += (t < 0) == (p < 0)
        events += t >= 0
        of_category += t >= 0 and t == best
    assert segment_accuracy(truth, predicted).of() == right / 500
    assert foreground_accuracy(truth, predicted).of() == num_foreground / 500
    assert category_accuracy(truth, likeliest).of() == of_category / events


def test_a_figure_of_some_clips_counts_a_clip_as_often_as_it_is_named() -> None:
    ratio = segment_accuracy(T, P)  # 2, 2, 3 and 3 of 4
    assert ratio.of(np.array([0, 2, 2])) == (2 + 3 + 3) / 12
    assert math.isnan(ratio.of(np.array([], int)))
    assert math.isnan(category_accuracy(T, L).of(np.array([2])))  # a clip without an event


def test_no_clips_have_no_figure() -> None:
    empty = np.zeros((0, 10), int)
    for figure in (segment_accuracy, foreground_accuracy, category_accuracy, event_f1):
        assert math.isnan(figure(empty, empty).of())
    assert whole_clips(empty).shape == commonest_category(empty).shape == (0, 10)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (4, 4, 1), (16,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected two of \[V, N\]"):
        segment_accuracy(T, np.zeros(shape, int))


def test_a_smaller_iou_is_refused_because_events_would_pair_in_several_ways() -> None:
    with pytest.raises(ValueError, match=r"min_iou = 0.4: expected 0.5 to 1"):
        event_f1(T, P, 0.4)
