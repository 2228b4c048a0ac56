"""Regularisers of sources against arithmetic."""

import math

import pytest
import torch

from pipeline.losses.source_regularisers import covariance_loss, sparsity_loss
from tests.helpers.mixtures import noise

LOSSES = pytest.mark.parametrize("loss", [sparsity_loss, covariance_loss])


@pytest.mark.parametrize(("levels", "expected"), [([1, 0, 0, 0], 1.0), ([2, 2, 2, 2], 2.0), ([3, 4, 0], 7 / 5)])
def test_sparsity_is_l1_over_l2_of_the_levels(levels: list[float], expected: float) -> None:
    sources = torch.tensor(levels)[:, None] * torch.tensor([1.0, -1.0, -1.0, 1.0])
    assert sparsity_loss(sources[None]).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("num_sources", [1, 2, 5])
def test_equal_sources_share_all_but_one_of_their_parts_and_orthogonal_ones_nothing(num_sources: int) -> None:
    equal = noise(2, 1, 64).expand(-1, num_sources, -1)
    torch.testing.assert_close(covariance_loss(equal), torch.full((2,), (num_sources - 1) / num_sources))
    assert covariance_loss(torch.eye(num_sources)[None]).item() == 0


def test_covariance_equals_a_plain_loop() -> None:
    sources = noise(3, 4, 50)
    for example, found in zip(sources.double(), covariance_loss(sources), strict=True):
        shared = sum(float((example[i] * example[j]).sum()) ** 2 for i in range(4) for j in range(4) if i != j)
        assert found.item() == pytest.approx(shared / float(example.square().sum()) ** 2, rel=1e-5)


def test_a_step_against_the_gradient_makes_sparser_and_less_alike() -> None:
    sources = noise(1, 3, 64) * torch.tensor([1.0, 0.5, 0.2])[:, None] + noise(1, 1, 64, seed=1)
    for loss in (sparsity_loss, covariance_loss):
        moved = sources.clone().requires_grad_()
        before = loss(moved)
        (gradient,) = torch.autograd.grad(before.sum(), moved)
        assert loss(moved - 0.1 * gradient / gradient.norm()) < before
    quietest = torch.autograd.grad(sparsity_loss(moved).sum(), moved)[0][0, 2]
    assert (quietest * moved[0, 2]).sum() > 0  # the faintest source becomes fainter


@LOSSES
def test_neither_depends_on_the_level_nor_on_autocast(loss) -> None:
    sources = noise(2, 3, 64)
    torch.testing.assert_close(loss(1e-4 * sources), loss(sources))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(sources), loss(sources))
        assert loss(sources.bfloat16()).dtype == torch.float32
    assert torch.equal(loss(sources), loss(sources.clone()))
    assert loss(sources.double()).dtype == torch.float64


@LOSSES
def test_silence_has_no_loss_and_a_finite_gradient(loss) -> None:
    sources = noise(3, 3, 64)
    sources[0], sources[1, 1], sources[2] = 0, 0, 1e-9
    sources.requires_grad_()
    values = loss(sources)
    (gradient,) = torch.autograd.grad(values.sum(), sources)
    assert values[[0, 2]].tolist() == [0.0, 0.0]
    assert torch.isfinite(gradient).all()
    assert gradient[0].abs().max() == gradient[2].abs().max() == 0
    if loss is sparsity_loss:
        assert 1 < values[1] < math.sqrt(2) + 1e-6  # two of three are heard


@LOSSES
def test_nan_is_not_hidden(loss) -> None:
    sources = noise(2, 3, 64)
    sources[0, 1, 5] = torch.nan
    assert torch.isnan(loss(sources)).tolist() == [True, False]
