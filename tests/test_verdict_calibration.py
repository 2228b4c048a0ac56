"""Calibration: figures from inner products are those of the waveforms, and the fit reaches its target."""

import numpy as np
import pytest
import torch

from pipeline.learners.verdict_calibration import JudgedMixtures, fit_verdicts
from pipeline.metrics.si_snr import off_screen_suppression_ratio, si_snr


def judged(logits: torch.Tensor, sources: torch.Tensor, first: torch.Tensor) -> JudgedMixtures:
    products = (sources * first[:, None]).sum(dim=-1)
    rows = (logits, sources @ sources.mT, products, first.square().sum(dim=-1))
    return JudgedMixtures(*(row.numpy() for row in rows))


@pytest.fixture
def noise() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [64, 4], sources [64, 4, 500], and first mixtures [64, 500]: two of the sources, and noise."""
    generator = torch.Generator().manual_seed(0)
    sources = torch.randn(64, 4, 500, generator=generator).double() * torch.rand(64, 4, 1, generator=generator)
    first = sources[:, :2].sum(dim=1) + 0.1 * torch.randn(64, 500, generator=generator)
    return torch.randn(64, 4, generator=generator).double(), sources, first


def test_figures_from_inner_products_are_those_of_the_waveforms(noise: tuple[torch.Tensor, ...]) -> None:
    logits, sources, first = noise
    found = judged(*noise)
    estimate = (torch.sigmoid(1.7 * logits - 0.4)[..., None] * sources).sum(dim=1)
    np.testing.assert_allclose(found.si_snr_db(1.7, -0.4), si_snr(first, estimate).numpy(), rtol=1e-9)
    mixture = sources.sum(dim=1)
    expected = off_screen_suppression_ratio(mixture, estimate).numpy()
    np.testing.assert_allclose(found.suppression_db(1.7, -0.4), expected, rtol=1e-9)


@pytest.mark.parametrize("target_db", [3.0, 13.0, 30.0])
def test_the_fit_reaches_its_suppression_and_no_other_scale_reconstructs_better(
    noise: tuple[torch.Tensor, ...], target_db: float
) -> None:
    logits, sources, first = noise
    logits[:, :2] += 2  # the first two are on screen
    on, off = judged(logits, sources, first), judged(logits - 2, sources, first)
    scale, shift = fit_verdicts(on, off, target_db)
    assert np.median(off.suppression_db(scale, shift)) == pytest.approx(target_db, abs=1e-3)
    best = np.median(on.si_snr_db(scale, shift))
    for other in (0.5, 1.0, 2.0):
        shifts = np.linspace(-20, 20, 4001)
        at_target = shifts[np.argmin([abs(np.median(off.suppression_db(other, b)) - target_db) for b in shifts])]
        assert best >= np.median(on.si_snr_db(other, at_target)) - 0.01


def test_silent_sources_and_mixtures_have_figures() -> None:
    silent = judged(torch.zeros(1, 2), torch.zeros(1, 2, 100), torch.zeros(1, 100))
    assert np.isfinite(silent.suppression_db(1, 0)).all()
    assert np.isfinite(silent.si_snr_db(1, 0)).all()
