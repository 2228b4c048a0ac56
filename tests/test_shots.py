"""Shots: the cuts of pictures that are drawn."""

from collections.abc import Callable

import numpy as np

from pipeline.clips.shots import ShotMeter
from pipeline.media.streams import Frame

RATE_HZ = 10


def meter(draw: Callable[[float], np.ndarray], seconds: float = 6.0) -> ShotMeter:
    """Of pictures [80, 80, 3] that `draw` gives for each tenth of a second."""
    shots = ShotMeter()
    for number in range(round(seconds * RATE_HZ)):
        shots.add(Frame("", number / RATE_HZ, draw(number / RATE_HZ).astype(np.uint8)))
    shots.finish()
    return shots


def scene(number: int) -> np.ndarray:
    """[80, 80, 3] patches that no other scene has."""
    patches = np.random.default_rng(number).integers(40, 255, (10, 10, 3))
    return patches.repeat(8, axis=0).repeat(8, axis=1)


def test_a_cut_belongs_to_the_clips_that_it_lies_inside() -> None:
    shots = meter(lambda time_s: scene(int(time_s >= 2.0) + int(time_s >= 3.5)))
    for start_s, end_s, num_cuts in ((0.0, 5.0, 2), (0.0, 2.0, 0), (2.0, 3.5, 0), (1.9, 2.1, 1), (3.0, 6.0, 1)):
        assert shots.num_cuts(start_s, end_s) == num_cuts
    assert shots.first_cut_s(0.0, 5.0) == 2.0
    assert shots.first_cut_s(2.0, 5.0) == 3.5
    assert shots.first_cut_s(0.0, 2.0) is None


def test_what_moves_and_what_fades_is_no_cut() -> None:
    wide = np.concatenate([scene(0), scene(1)], axis=1)
    moving = meter(lambda time_s: np.roll(wide, round(20 * time_s), axis=1)[:, :80])
    assert moving.num_cuts(0.0, 6.0) == 0
    fading = meter(lambda time_s: scene(0) * (1 - time_s / 6) + scene(1) * time_s / 6)
    assert fading.num_cuts(0.0, 6.0) == 0


def test_nothing_is_found_where_there_is_no_picture() -> None:
    assert meter(lambda _: scene(0)).num_cuts(7.0, 8.0) == 0
    assert ShotMeter().first_cut_s(0.0, 1.0) is None


def test_what_is_dropped_changes_no_later_clip() -> None:
    shots = meter(lambda time_s: scene(int(time_s)))
    assert shots.num_cuts(2.0, 5.0) == 2
    shots.drop_before(2.0)
    assert shots.num_cuts(2.0, 5.0) == 2
