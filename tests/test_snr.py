"""The thresholded signal-to-noise ratio against arithmetic, and inner products against plain ones."""

import math

import pytest
import torch

from pipeline.losses.snr import CHUNK, SILENT_POWER, gram, remix, snr_loss
from tests.helpers.mixtures import SAMPLES, noise


def test_snr_loss_is_the_negative_ratio_in_db_where_the_threshold_is_small() -> None:
    reference = noise(2, 3, SAMPLES)
    assert torch.allclose(snr_loss(reference, 2 * reference), torch.tensor(10 * math.log10(1.001)), atol=1e-6)
    # A tenth of the amplitude is missing: error 1e-2, threshold 1e-3.
    assert torch.allclose(snr_loss(reference, 0.9 * reference), torch.tensor(10 * math.log10(0.011)), atol=1e-4)
    assert torch.allclose(snr_loss(reference, reference), torch.tensor(-30.0))


def test_a_silent_reference_has_no_say_and_an_almost_silent_one_has() -> None:
    levels = torch.tensor([0.0, 0.9, 1.1]) * math.sqrt(SILENT_POWER)
    reference = levels[:, None] * noise(3, SAMPLES).sign()
    estimate = noise(3, SAMPLES, seed=1).requires_grad_()
    loss = snr_loss(reference, estimate)
    loss.sum().backward()
    assert estimate.grad is not None
    assert loss[:2].tolist() == [0.0, 0.0]
    assert loss[2] > 100
    assert (estimate.grad.abs().amax(dim=1) > 0).tolist() == [False, False, True]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="the same"):
        snr_loss(torch.zeros(4, 9), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="T >= 1"):
        snr_loss(torch.zeros(4, 0), torch.zeros(4, 0))


@pytest.mark.parametrize("num_samples", [1, CHUNK, 2 * CHUNK + 7])
def test_inner_products_of_any_length_are_exact_also_under_autocast(num_samples: int) -> None:
    references, estimates = noise(2, 2, num_samples), noise(2, 3, num_samples, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gram(references, estimates)
    waveforms = torch.cat([references, estimates], dim=1).double()
    assert found.dtype == torch.float64
    for i in range(5):
        for j in range(5):
            torch.testing.assert_close(found[:, i, j], (waveforms[:, i] * waveforms[:, j]).sum(-1), rtol=1e-12, atol=0)


def test_remix_is_a_weighted_sum() -> None:
    sources = torch.tensor([[[1.0, 2.0], [10.0, 20.0], [100.0, 0.0]]])
    weights = torch.tensor([[[1.0, 0.0, 1.0], [0.0, -0.5, 0.0]]])
    assert remix(weights, sources).tolist() == [[[101.0, 2.0], [-5.0, -10.0]]]


def test_the_gradient_of_a_remix_is_that_of_a_matrix_product() -> None:
    sources, weights, slopes = noise(2, 3, 2 * CHUNK + 1), noise(2, 4, 3, seed=1), noise(2, 4, 2 * CHUNK + 1, seed=2)
    ours, theirs = sources.clone().requires_grad_(), sources.double().requires_grad_()
    remixed, expected = remix(weights, ours), weights.double() @ theirs
    torch.testing.assert_close(remixed.double(), expected, rtol=1e-5, atol=1e-5)
    (remixed * slopes).sum().backward()
    (expected * slopes.double()).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-5)
