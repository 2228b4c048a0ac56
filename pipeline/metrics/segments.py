"""Which second of a clip holds an event of which category: segment accuracy, its two parts, whole events, and anchors.

Conventions
-----------
`truth` and `predicted` are [V, N] int: the category of each of N segments of V clips, BACKGROUND where there is no
event. `likeliest` is [V, N] too: the most likely category, whatever is said of background. Each figure is a ratio of
two sums over clips, so it can be taken of any of them, and of one several times (bootstrap).

An event is a run of neighbouring segments of one category, as long as it lasts within its clip. A predicted event is
found if a true one of its category has an intersection over union of `min_iou` or more with it. At 0.5 or more, no two
true events fit one predicted event, nor the other way round: both would have to be half of it, hence its halves, which
are one event. So every way of pairing finds the same number.

A segment accuracy says little without its anchors: on AVE's test split, `always background` reaches 0.178, and a
perfect classifier of whole clips that never says background 0.822.

References
----------
Tian et al. 2018, "Audio-visual event localization in unconstrained videos", arXiv:1803.08842 (segment accuracy).
Mesaros et al. 2016, "Metrics for polyphonic sound event detection", Applied Sciences 6(6):162 (event-based F1).
"""

from typing import NamedTuple

import numpy as np

BACKGROUND = -1
MIN_PROBABILITY = 0.5  # there is an event where its probability is above this: the rule of CPSP


class Ratio(NamedTuple):
    """A figure of V clips as a sum over a sum."""

    numerator: np.ndarray
    """[V]"""
    denominator: np.ndarray
    """[V]"""

    def of(self, clips: np.ndarray | None = None) -> float:
        """The figure of the clips of these numbers [n], or of all; NaN where nothing is counted."""
        chosen = slice(None) if clips is None else clips
        total = self.denominator[chosen].sum()
        return float(self.numerator[chosen].sum() / total) if total else float("nan")


def segment_accuracy(truth: np.ndarray, predicted: np.ndarray) -> Ratio:
    """Share of all segments, background included, that are given what they are: the official figure of AVE.

    >>> segment_accuracy(np.array([[3, 3, -1, -1]]), np.array([[3, 5, -1, 3]])).of()
    0.5
    """
    _check(truth, predicted)
    return Ratio((truth == predicted).sum(axis=1), np.full(len(truth), truth.shape[1]))


def foreground_accuracy(truth: np.ndarray, predicted: np.ndarray) -> Ratio:
    """Share of all segments that are rightly called an event or background, whatever the category."""
    _check(truth, predicted)
    return segment_accuracy(truth == BACKGROUND, predicted == BACKGROUND)


def category_accuracy(truth: np.ndarray, likeliest: np.ndarray) -> Ratio:
    """Share of the segments with an event whose most likely category is right."""
    _check(truth, likeliest)
    is_event = truth != BACKGROUND
    return Ratio((is_event & (truth == likeliest)).sum(axis=1), is_event.sum(axis=1))


def event_f1(truth: np.ndarray, predicted: np.ndarray, min_iou: float = 0.5) -> Ratio:
    """Harmonic mean of precision and recall of events: twice those found, over the predicted and the true ones.

    Args:
        truth: [V, N].
        predicted: [V, N].
        min_iou: 0.5 to 1.

    >>> event_f1(np.array([[3, 3, 3, -1, 5]]), np.array([[-1, 3, 3, -1, -1]])).of()  # 2 of 3 s; 5 is missed
    0.6666666666666666
    """
    _check(truth, predicted)
    if not 0.5 <= min_iou <= 1:
        raise ValueError(f"min_iou = {min_iou}: expected 0.5 to 1, where events pair in one way.")
    num_clips = len(truth)
    true_event, predicted_event = _events(truth), _events(predicted)
    # [pairs, 2] a true and a predicted event of one category that meet, and in how many segments
    is_shared = (truth == predicted) & (truth != BACKGROUND)
    meeting = np.stack([true_event[is_shared], predicted_event[is_shared]], axis=1)
    pairs, common = np.unique(meeting, axis=0, return_counts=True)
    lengths = np.bincount(true_event.ravel())[pairs[:, 0]] + np.bincount(predicted_event.ravel())[pairs[:, 1]]
    found = pairs[common / (lengths - common) >= min_iou]
    return Ratio(
        2 * _per_clip(found[:, 0], true_event, num_clips),
        _per_clip(np.unique(true_event[truth != BACKGROUND]), true_event, num_clips)
        + _per_clip(np.unique(predicted_event[predicted != BACKGROUND]), predicted_event, num_clips),
    )


def whole_clips(truth: np.ndarray) -> np.ndarray:
    """[V, N] the category that most segments of a clip have, in all of them: a perfect classifier of whole clips.

    Of equally frequent ones, the smallest number. A clip without an event is given category 0, which is wrong there.
    """
    num_categories = max(int(truth.max(initial=0)) + 1, 1)
    counts = (truth[:, :, None] == np.arange(num_categories)).sum(axis=1)
    return np.repeat(counts.argmax(axis=1)[:, None], truth.shape[1], axis=1)


def commonest_category(truth: np.ndarray) -> np.ndarray:
    """[V, N] the category that most segments of all clips have, everywhere; category 0 without any event."""
    events = truth[truth != BACKGROUND]
    return np.full_like(truth, np.bincount(events).argmax() if len(events) else 0)


def _events(categories: np.ndarray) -> np.ndarray:
    """[V, N] number of the run that each segment belongs to, in the order of clips; background has runs too."""
    begins = np.ones(categories.shape, bool)
    begins[:, 1:] = categories[:, 1:] != categories[:, :-1]
    return (np.cumsum(begins.ravel()) - 1).reshape(categories.shape)


def _per_clip(events: np.ndarray, event_of: np.ndarray, num_clips: int) -> np.ndarray:
    """[V] how many of the given events each clip has, `event_of` [V, N] being the event of each segment."""
    return np.bincount(np.searchsorted(event_of[:, 0], events, side="right") - 1, minlength=num_clips)


def _check(truth: np.ndarray, predicted: np.ndarray) -> None:
    if truth.ndim != 2 or truth.shape != predicted.shape or not truth.shape[1]:
        raise ValueError(f"{list(truth.shape)} and {list(predicted.shape)}: expected two of [V, N], N 1 or more.")
