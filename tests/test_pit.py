"""The permutation-invariant loss equals brute force over all permutations on waveforms."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from pipeline.losses.mixit import assigned_loss, best_assignment
from pipeline.losses.pit import best_matching, matched_loss
from tests.helpers.mixtures import BATCH, SAMPLES, noise


def pit_loss(references: Tensor, estimates: Tensor) -> Tensor:
    return matched_loss(references, estimates, best_matching(references, estimates))


def brute_force(references: Tensor, estimates: Tensor) -> Tensor:
    """[B, permutations] losses: references are padded with silence to S, and every order is measured."""
    references, estimates = references.double(), estimates.double()
    losses = []
    for order in itertools.permutations(range(estimates.shape[1])):
        loss = torch.zeros(len(references), dtype=torch.float64)
        for b in range(len(references)):
            mixture = float(references[b].sum(0).square().sum())
            for place, source in enumerate(order):
                known = (
                    references[b, place] if place < references.shape[1] else torch.zeros(estimates.shape[2]).double()
                )
                energy = float(known.square().sum())
                one_hot = torch.eye(len(references), dtype=torch.float64)[b]
                if energy > 1e-12 * known.numel():
                    error = (known - estimates[b, source]).square().sum() + 1e-3 * energy
                    loss = loss + one_hot * 10 * torch.log10(error / energy)
                elif mixture > 1e-12 * known.numel():
                    heard = estimates[b, source].square().sum() + 1e-2 * mixture
                    loss = loss + one_hot * 10 * torch.log10(heard / mixture)
        losses.append(loss)
    return torch.stack(losses, dim=1)


def example(case: str, num_references: int, num_sources: int) -> tuple[Tensor, Tensor]:
    levels = 10 ** (-1.5 * torch.rand(BATCH, num_sources, 1, generator=torch.Generator().manual_seed(1)))
    sources = levels * noise(BATCH, num_sources, SAMPLES)
    references = sources[:, :num_references].clone()
    estimates = sources.roll(1, dims=1) + 0.1 * noise(BATCH, num_sources, SAMPLES, seed=2)
    if case == "silent reference":
        references[:, -1] = 0
    elif case == "all references silent":
        references[0] = 0
    elif case == "silent estimates":
        estimates[:, ::2] = 0
    elif case == "unrelated":
        estimates = noise(BATCH, num_sources, SAMPLES, seed=3)
    elif case == "equal estimates":
        estimates = estimates[:, :1].expand_as(estimates).clone()
    elif case == "correlated estimates":
        estimates = torch.einsum("rs,bst->brt", noise(num_sources, num_sources, seed=5), estimates)
    return references, estimates


CASES = [
    "plain", "silent reference", "all references silent", "silent estimates", "unrelated", "equal estimates",
    "correlated estimates",
]  # fmt: skip


@pytest.mark.parametrize(("num_references", "num_sources"), [(2, 2), (2, 4), (3, 4)])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_equal_brute_force(case: str, num_references: int, num_sources: int) -> None:
    references, estimates = example(case, num_references, num_sources)
    ours, theirs = estimates.clone().requires_grad_(), estimates.double().requires_grad_()
    loss = pit_loss(references, ours)
    loss.sum().backward()
    expected = brute_force(references, theirs).amin(1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=0, atol=1e-4)
    if case not in (
        "equal estimates",
        "silent estimates",
    ):  # where the gradient depends on which of equal matchings is taken
        expected.sum().backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("case", CASES)
def test_every_heard_reference_has_one_estimate_of_its_own(case: str) -> None:
    references, estimates = example(case, 3, 5)
    matching = best_matching(references, estimates)
    assert torch.equal(matching.sum(2), references.any(dim=2).float())
    assert matching.sum(1).max() <= 1
    assert not matching.requires_grad
    assert torch.equal(best_matching(references, estimates), matching)


def test_perfect_estimates_in_any_order_reach_both_floors() -> None:
    sources = noise(2, 3, SAMPLES)
    estimates = torch.cat([torch.zeros(2, 2, SAMPLES), sources.flip(1)], dim=1)
    assert best_matching(sources, estimates)[0].argmax(1).tolist() == [4, 3, 2]
    torch.testing.assert_close(pit_loss(sources, estimates), torch.full((2,), 3 * -30.0 + 2 * -20.0), atol=1e-3, rtol=0)


def test_the_mixture_in_an_estimate_that_should_be_silent_costs_20_db_against_silence() -> None:
    mixture = noise(1, 1, SAMPLES)
    quiet = torch.cat([mixture, torch.zeros_like(mixture)], dim=1)
    assert pit_loss(mixture, quiet).item() == pytest.approx(-50.0, abs=1e-3)
    twice = pit_loss(mixture, torch.cat([mixture, mixture], dim=1)).item()
    assert twice == pytest.approx(-30 + 10 * math.log10(1.01), abs=1e-3)
    # 30 dB below the mixture there is little left to win: 10 log10(0.011) instead of 10 log10(0.01).
    faint = pit_loss(mixture, torch.cat([mixture, mixture / math.sqrt(1000)], dim=1)).item()
    assert faint == pytest.approx(-30 + 10 * math.log10(0.011), abs=1e-3)


def test_one_source_and_one_estimate_have_the_plain_ratio() -> None:
    reference = noise(2, 1, SAMPLES)
    torch.testing.assert_close(pit_loss(reference, 0.9 * reference), torch.full((2,), 10 * math.log10(0.011)))


def test_more_sources_than_permutations_could_be_listed_of_are_matched() -> None:
    sources = noise(2, 20, SAMPLES)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(best_matching(sources, sources[:, order]).argmax(2)[0], order.argsort())


def test_silent_references_alone_send_no_gradient() -> None:
    estimates = noise(2, 4, SAMPLES).requires_grad_()
    loss = pit_loss(torch.zeros(2, 2, SAMPLES), estimates)
    loss.sum().backward()
    assert estimates.grad is not None
    assert loss.tolist() == [0, 0]
    assert estimates.grad.abs().max() == 0


def test_level_and_autocast_change_nothing_and_float64_stays() -> None:
    references, estimates = example("plain", 3, 4)
    loss = pit_loss(references, estimates)
    torch.testing.assert_close(pit_loss(references / 1000, estimates / 1000), loss, atol=1e-4, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pit_loss(references, estimates), loss)
    assert pit_loss(references.double(), estimates.double()).dtype == torch.float64


def test_supervised_and_unsupervised_items_share_a_batch() -> None:
    known = noise(4, 3, SAMPLES)
    mixtures = torch.stack([known[:, 0], known[:, 1:].sum(1)], dim=1)
    is_supervised = torch.tensor([True, False, False, True])
    known[1:3] = 0  # nothing is known of these
    estimates = noise(4, 4, SAMPLES, seed=1).requires_grad_()
    per_example = torch.where(
        is_supervised,
        pit_loss(known, estimates),
        assigned_loss(mixtures, estimates, best_assignment(mixtures, estimates)),
    )
    (together,) = torch.autograd.grad(per_example.sum(), estimates)
    of_mixit = assigned_loss(mixtures[1:3], estimates[1:3], best_assignment(mixtures[1:3], estimates[1:3]))
    (apart,) = torch.autograd.grad(pit_loss(known[[0, 3]], estimates[[0, 3]]).sum() + of_mixit.sum(), estimates)
    torch.testing.assert_close(together, apart)
    assert (apart.abs().amax(dim=(1, 2)) > 0).all()


def test_nan_estimates_are_not_hidden() -> None:
    references, estimates = example("plain", 2, 3)
    estimates[0, 0, 0] = torch.nan
    assert torch.isnan(pit_loss(references, estimates)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        ((4, 9), (4, 2, 9), r"expected \[B, R, T\]"),
        ((4, 0, 9), (4, 2, 9), "R >= 1"),
        ((4, 2, 0), (4, 2, 0), "T >= 1"),
        ((4, 2, 9), (4, 2, 8), r"expected \[4, S, 9\]"),
        ((4, 2, 9), (3, 2, 9), r"expected \[4, S, 9\]"),
        ((4, 3, 9), (4, 2, 9), "3 references, 2 estimates"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(references: tuple, estimates: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_matching(torch.zeros(references), torch.zeros(estimates))


def test_a_matching_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"matching \[4, 2, 3\]: expected \[4, 2, 5\]"):
        matched_loss(torch.zeros(4, 2, 9), torch.zeros(4, 5, 9), torch.zeros(4, 2, 3))
