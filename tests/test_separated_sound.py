"""Sound as a separator hands it over: it holds the clip's own sound, some of the others', and nothing else."""

import math

import numpy as np
import pytest
import torch

from pipeline.learners.separated_sound import LEAK_DB, imitate_separation

RATE_HZ = 16_000


def tone(hz: float) -> torch.Tensor:
    return 0.1 * torch.sin(2 * math.pi * hz * torch.arange(RATE_HZ) / RATE_HZ)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def energy(waveform: torch.Tensor, hz: float) -> torch.Tensor:
    """Of a tone in each row, whatever its phase."""
    times = 2 * math.pi * hz * torch.arange(RATE_HZ) / RATE_HZ
    return (waveform @ times.sin()).square() + (waveform @ times.cos()).square()


def test_the_others_are_suppressed_beside_the_own_sound_by_the_leak_or_more() -> None:
    own, other = tone(440).expand(200, -1), tone(3000).expand(200, -1)
    found = imitate_separation(own, other, RATE_HZ, generators(200))
    # of two tones far apart the mask passes one whole: what is left of the other is the leak, at -10 dB or less, at a
    # level of 10 dB or less above the own sound's
    heard = energy(found, 440) > 1e-3 * energy(own, 440)
    assert 0.5 < heard.float().mean() <= 1  # some are deaf to the band of the own sound
    ratio_db = 10 * torch.log10(energy(found, 3000) / energy(own, 440))
    assert ratio_db.max() < 10 + LEAK_DB[1] + 0.5
    assert ratio_db.min() > -10 + LEAK_DB[0] - 6  # in a short stretch of the time it leaks as much


def test_the_level_of_the_other_sounds_plays_no_role() -> None:
    generator = torch.Generator().manual_seed(0)
    own, other = 0.1 * torch.randn(2, 4, RATE_HZ, generator=generator)
    loud, soft = (imitate_separation(own, gain * other, RATE_HZ, generators(4)) for gain in (3.0, 0.03))
    torch.testing.assert_close(loud, soft, atol=1e-5, rtol=1e-3)


def test_rows_do_not_depend_on_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    own, other = 0.1 * torch.randn(2, 6, RATE_HZ, generator=generator)
    whole = imitate_separation(own, other, RATE_HZ, generators(6))
    half = imitate_separation(own[1::2], other[1::2], RATE_HZ, generators(6)[1::2])
    assert torch.equal(whole[1::2], half)


@pytest.mark.parametrize("silent", ["own", "others"])
def test_silence_stays_finite(silent: str) -> None:
    sound, nothing = 0.1 * torch.randn(3, RATE_HZ), torch.zeros(3, RATE_HZ)
    rows = (nothing, sound) if silent == "own" else (sound, nothing)
    assert imitate_separation(*rows, RATE_HZ, generators(3)).isfinite().all()
