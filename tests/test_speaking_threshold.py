"""The score from which on a face speaks, from clips whose lips and sound carry one code, or none."""

import numpy as np
import pytest

from pipeline.inference.speaking_threshold import clip_scores, find_threshold

CODES = 8


def codes(*shape: int, seed: int) -> np.ndarray:
    return np.eye(CODES, dtype=np.float32)[np.random.default_rng(seed).integers(0, CODES, shape)]


def test_a_second_scores_by_how_much_its_codes_agree_at_the_offset_of_the_clip() -> None:
    lips = codes(60, seed=0)
    speech = np.roll(lips, 4, axis=0)
    speech[25:] = codes(35, seed=1)  # from here on the sound is of something else
    first, second = clip_scores(lips, speech, rate_hz=25)  # what is left of the third second is no second
    # 21 frames agree in the first one, and one of eight by chance in the four whose sound comes after it
    assert first == pytest.approx((21 + 4 / 8) / 25 - 1 / 8, abs=0.1)
    assert second == pytest.approx(0.0, abs=0.2)


def test_the_threshold_lies_between_own_and_other_sound() -> None:
    lips = codes(12, 50, seed=0)
    threshold, error = find_threshold(lips, lips, rate_hz=25)
    assert error == 0
    assert 0.3 < threshold < 0.8  # of another's sound the best of 31 offsets agrees in at most half of the frames


def test_lips_that_say_nothing_are_told_apart_by_chance() -> None:
    _, error = find_threshold(codes(40, 50, seed=0), codes(40, 50, seed=1), rate_hz=25)
    assert error == pytest.approx(0.5, abs=0.14)  # 2.5 standard deviations of the mean of two shares of 80
