"""Separation metrics equal torchmetrics where it defines the same, and arithmetic where it does not."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    scale_invariant_signal_noise_ratio,
)

from pipeline.metrics.signal_products import CAP_DB
from tests.helpers.si_snr import off_screen_suppression_ratio, si_snr


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_equals_torchmetrics_si_sdr_without_mean_subtraction() -> None:
    reference = noise(5, 2, 4000)
    estimate = 0.7 * reference + noise(5, 2, 4000, seed=1) * torch.logspace(-2, 1, 5)[:, None, None] + 0.3
    expected = scale_invariant_signal_distortion_ratio(estimate.double(), reference.double(), zero_mean=False)
    assert torch.allclose(si_snr(reference, estimate), expected, rtol=0, atol=1e-6)


def test_equals_torchmetrics_si_snr_where_the_means_are_zero() -> None:
    reference, estimate = noise(3, 4000).double(), noise(3, 4000, seed=1).double()
    reference, estimate = reference - reference.mean(-1, keepdim=True), estimate - estimate.mean(-1, keepdim=True)
    estimate = estimate + reference
    expected = scale_invariant_signal_noise_ratio(estimate, reference)
    assert torch.allclose(si_snr(reference, estimate), expected, rtol=0, atol=1e-6)


def test_a_constant_offset_is_an_error() -> None:
    reference = noise(4000)
    assert si_snr(reference, reference + 1.0) < si_snr(reference, reference + 0.1) < 21.0


@pytest.mark.parametrize("level_db", [-70, -30, 0, 20, 50, 79])
def test_noise_that_is_orthogonal_gives_its_exact_level(level_db: int) -> None:
    time = np.arange(1600) / 1600
    tone, other = (torch.from_numpy(np.sin(2 * np.pi * f * time)) for f in (40, 100))  # whole periods: orthogonal
    estimate = 3 * (tone + 10 ** (-level_db / 20) * other)
    assert si_snr(tone, estimate).item() == pytest.approx(level_db, abs=1e-6)


@pytest.mark.parametrize("level_db", [40, 60, 78])
def test_high_ratios_of_fp32_waveforms_equal_float64_arithmetic(level_db: int) -> None:
    reference = 0.1 * noise(80_000)
    estimate = reference + 10 ** (-level_db / 20) * 0.1 * noise(80_000, seed=1)
    x, y = reference.numpy().astype(np.float64), estimate.numpy().astype(np.float64)
    scale = np.dot(x, y) / np.dot(x, x)
    expected = 10 * math.log10(np.sum((scale * x) ** 2) / np.sum((y - scale * x) ** 2))
    assert si_snr(reference, estimate).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("gain", [1e-30, 1e-3, -2.0, 1e30])
def test_gain_of_estimate_and_reference_plays_no_role(gain: float) -> None:
    reference, estimate = noise(2, 500).double(), noise(2, 500, seed=1).double()
    expected = si_snr(reference, reference + estimate)
    assert torch.allclose(si_snr(reference, gain * (reference + estimate)), expected, rtol=0, atol=1e-9)
    assert torch.allclose(si_snr(gain * reference, reference + estimate), expected, rtol=0, atol=1e-9)


def test_values_are_capped_at_80_db_both_ways() -> None:
    reference = torch.tensor([1.0, 0.0])
    estimates = torch.tensor([[1.0, 0.0], [-0.3, 0.0], [0.0, 1.0], [0.0, 0.0]])  # copy, inverted, orthogonal, silent
    assert si_snr(reference.expand(4, 2), estimates).tolist() == [CAP_DB, CAP_DB, -CAP_DB, -CAP_DB]


def test_suppression_is_the_energy_ratio() -> None:
    mixture = noise(3, 500)
    assert torch.allclose(
        off_screen_suppression_ratio(mixture, mixture * torch.tensor([1.0, 0.1, 2.0])[:, None]),
        torch.tensor([0.0, 20.0, -20 * math.log10(2)], dtype=torch.float64),
        atol=1e-6,
    )


def test_suppression_is_capped_for_a_silent_estimate() -> None:
    assert off_screen_suppression_ratio(noise(500), torch.zeros(500)).item() == CAP_DB


def test_keeping_one_of_two_cancelling_sources_has_negative_suppression() -> None:
    loud, opposed = noise(500), -0.9 * noise(500)
    assert off_screen_suppression_ratio(loud + opposed, loud).item() == pytest.approx(-20.0, abs=1e-4)


def test_values_are_float64_one_for_each_waveform() -> None:
    reference, estimate = noise(2, 3, 100), noise(2, 3, 100, seed=1)
    for value in (si_snr(reference, estimate), off_screen_suppression_ratio(reference, estimate)):
        assert value.shape == (2, 3)
        assert value.dtype == torch.float64


def test_silent_references_are_refused_with_their_count() -> None:
    reference = noise(3, 100)
    reference[1] = 0
    with pytest.raises(ValueError, match="reference: 1 of 3 waveforms are silent"):
        si_snr(reference, noise(3, 100))
    with pytest.raises(ValueError, match="mixture: 1 of 3 waveforms are silent"):
        off_screen_suppression_ratio(reference, noise(3, 100))


def test_shapes_that_differ_and_samples_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reference \[2, 5\] and estimate \[5\]"):
        si_snr(torch.ones(2, 5), torch.ones(5))
    with pytest.raises(ValueError, match="estimate: holds NaN"):
        si_snr(torch.ones(2), torch.tensor([torch.nan, 1.0]))
    with pytest.raises(ValueError, match="reference: holds NaN"):
        si_snr(torch.tensor([torch.inf, 1.0]), torch.ones(2))
