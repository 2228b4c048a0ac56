"""Offsets of motion and sound: planted shifts of flashes and clicks, what repeats itself, and what does not move."""

import numpy as np
import pytest

from pipeline.metrics.motion_synchrony import (
    CURVE_HZ,
    STEP_S,
    best_offset,
    motion_curves,
    offset_curve,
    sound_curves,
)

RATE_HZ = 16_000
TIMES_S = np.array([0.5, 1.3, 1.75, 2.9, 3.2, 4.4])  # of six events that have no period


def clicks(times_s: np.ndarray, late_s: float, length_s: float = 6.0) -> np.ndarray:
    """Bursts of noise of 50 ms over a faint hiss."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1e-3, round(length_s * RATE_HZ))
    for time_s in times_s + late_s:
        begin = round(time_s * RATE_HZ)
        sound[begin : begin + 800] += rng.normal(0, 0.3, len(sound[begin : begin + 800]))
    return sound.astype(np.float32)


def changes(times_s: np.ndarray, rate_hz: float = 25.0, length_s: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Times of pictures and what changes in each, in one part: 10 in those that follow an event, else 0.1."""
    shown_s = np.arange(1, round(length_s * rate_hz)) / rate_hz
    moved = np.full(len(shown_s), 0.1)
    moved[np.searchsorted(shown_s, times_s)] = 10
    return shown_s, moved[:, None]


def offset_of(late_s: float, times_s: np.ndarray = TIMES_S) -> tuple[float | None, float]:
    sounds = sound_curves(clicks(times_s, late_s), RATE_HZ)
    return best_offset(offset_curve(motion_curves(*changes(times_s), len(sounds[0])), sounds))


@pytest.mark.parametrize("late_s", [-0.9, -0.5, 0.0, 0.25, 0.5, 1.0])
def test_a_planted_shift_is_found_to_a_step_and_the_sign_says_that_the_sound_is_late(late_s: float) -> None:
    found, confidence = offset_of(late_s)
    assert found == pytest.approx(late_s, abs=STEP_S + 1e-6)
    assert confidence > 0.3


def test_what_moves_in_one_part_is_found_beside_what_moves_elsewhere_without_a_sound() -> None:
    sounds = sound_curves(clicks(TIMES_S, 0.5), RATE_HZ)
    shown_s, moved = changes(TIMES_S)
    elsewhere = 40 * np.random.default_rng(1).random((len(shown_s), 1))
    mixed, apart = (motion_curves(shown_s, each, 600) for each in (moved + elsewhere, np.hstack([moved, elsewhere])))
    assert best_offset(offset_curve(apart, sounds))[0] == pytest.approx(0.5, abs=STEP_S + 1e-6)
    assert best_offset(offset_curve(apart, sounds))[1] > best_offset(offset_curve(mixed, sounds))[1]


def test_what_repeats_itself_within_the_range_has_little_confidence() -> None:
    regular = offset_of(0.5, np.arange(0.3, 5.0, 0.4))[1]
    assert regular < 0.2
    assert offset_of(0.5)[1] > 3 * regular


def test_the_clock_of_both_curves_is_that_of_the_file() -> None:
    onsets, loudness = sound_curves(clicks(np.array([2.0]), 0.0), RATE_HZ)
    assert len(onsets) == len(loudness) == 6 * CURVE_HZ
    assert np.argmax(onsets) / CURVE_HZ == pytest.approx(2.0, abs=0.03)
    assert np.argmax(loudness) / CURVE_HZ == pytest.approx(2.025, abs=0.03)
    moved = motion_curves(*changes(np.array([2.0])), 600)[0]
    assert np.argmax(moved) / CURVE_HZ == pytest.approx(2.0, abs=0.01)


def test_nothing_that_moves_or_sounds_has_no_offset() -> None:
    sounds = sound_curves(clicks(TIMES_S, 0.0), RATE_HZ)
    assert best_offset(offset_curve(np.full((1, 600), 0.1), sounds)) == (None, 0.0)
    silent = sound_curves(np.zeros(6 * RATE_HZ, np.float32), RATE_HZ)
    assert best_offset(offset_curve(motion_curves(*changes(TIMES_S), 600), silent)) == (None, 0.0)


def test_a_curve_too_short_to_be_shifted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 s, expected 2\.2 s or more"):
        offset_curve(np.zeros((1, 200)), (np.zeros(200), np.zeros(200)))
