"""Augmentation: how far speed, gaps, shifts and colours may go, and that what belongs together is changed alike."""

import numpy as np
import torch

from pipeline.learners.augmentation import (
    MAX_GAP,
    MAX_SPEED,
    add_gap,
    augment_frames,
    augment_waveform,
)

RATE_HZ = 16000


def test_a_waveform_played_at_another_speed_moves_its_pitch_by_at_most_max_speed() -> None:
    times_s = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 1000 * times_s)
    pitches = []
    for seed in range(40):
        out = augment_waveform(tone, RATE_HZ // 2, RATE_HZ, np.random.default_rng(seed))
        assert out.shape == (RATE_HZ,)
        pitches.append(int(np.abs(np.fft.rfft(out)).argmax()))
    assert 1000 * np.exp(-MAX_SPEED) - 1 <= min(pitches) < 930
    assert 1070 < max(pitches) <= 1000 * np.exp(MAX_SPEED) + 1


def test_a_waveform_of_the_whole_clip_is_never_played_past_its_end() -> None:
    ramp = np.arange(1000, dtype=np.float64)
    for seed in range(20):
        out = augment_waveform(ramp, 0, 1000, np.random.default_rng(seed))
        steps = np.diff(out)
        assert (steps > 0).all()
        assert steps.max() <= 1 + 1e-3


def test_a_gap_silences_one_stretch_of_at_most_its_share_and_nothing_else() -> None:
    ones = np.ones(1000, dtype=np.float32)
    longest = 0
    for seed in range(200):
        out = add_gap(ones, np.random.default_rng(seed))
        assert out.shape == ones.shape
        silent = np.flatnonzero(out == 0)
        assert len(silent) <= round(MAX_GAP * 1000)
        assert len(silent) == 0 or silent[-1] - silent[0] + 1 == len(silent)
        longest = max(longest, len(silent))
    assert longest > 0.8 * MAX_GAP * 1000


def test_all_frames_of_a_clip_are_changed_alike_and_stay_in_range() -> None:
    frames = np.random.default_rng(0).integers(256, size=(3, 1, 3, 16, 16), dtype=np.uint8).repeat(4, axis=1)
    out = augment_frames(list(frames), [np.random.default_rng(seed) for seed in range(3)])
    assert out.shape == frames.shape
    assert 0 <= out.min() <= out.max() <= 1
    for clip in out:
        assert all(torch.equal(clip[0], frame) for frame in clip)
    alone = augment_frames(frames[1:2], [np.random.default_rng(1)])
    assert torch.equal(alone[0], out[1])
