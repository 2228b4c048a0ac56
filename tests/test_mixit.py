"""MixIT equals brute force on waveforms: every assignment formed, measured in float64, the smallest taken."""

import math

import pytest
import torch
from torch import Tensor

from pipeline.losses.mixit import all_to_first, assigned_loss, best_assignment
from pipeline.losses.snr import CHUNK, snr_loss
from tests.helpers.mixtures import BATCH, CASES, SAMPLES, brute_force, example, noise

TOLERANCE_DB = 1e-4


def mixit_loss(references: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """The loss [B] of the best assignment, as the separation learner computes it, and the assignment [B, 2, S]."""
    assignment = best_assignment(references, estimates)
    return assigned_loss(references, estimates, assignment), assignment


@pytest.mark.parametrize("num_sources", [1, 2, 4, 8])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_assignment_equal_brute_force(case: str, num_sources: int) -> None:
    references, estimates = example(case, num_sources)
    loss, assignment = mixit_loss(references, estimates)
    losses, subsets = brute_force(references, estimates)
    assert loss.dtype == torch.float32
    assert torch.allclose(loss.double(), losses.amin(1), rtol=0, atol=TOLERANCE_DB)
    # The returned matrix is one of the candidates, and reaches the minimum by brute force too (ties may differ).
    assert torch.equal(assignment.sum(1), torch.ones(BATCH, num_sources))
    for row in range(BATCH):
        chosen = (subsets == assignment[row, 1]).all(1)
        assert chosen.sum() == 1
        assert losses[row, chosen].item() == pytest.approx(losses[row].min().item(), abs=TOLERANCE_DB)


@pytest.mark.parametrize("num_sources", [1, 2, 4, 8])
@pytest.mark.parametrize("case", ["noisy", "unrelated", "silent second mixture", "correlated sources"])
def test_gradient_is_that_of_the_brute_force_minimum(case: str, num_sources: int) -> None:
    references, estimates = example(case, num_sources)
    ours = estimates.clone().requires_grad_()
    mixit_loss(references, ours)[0].sum().backward()
    theirs = estimates.double().requires_grad_()
    brute_force(references, theirs)[0].amin(1).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad.double(), theirs.grad, rtol=1e-3, atol=1e-5 * float(theirs.grad.abs().max()))


def test_perfect_separation_reaches_the_floor_of_minus_60_db() -> None:
    sources = noise(2, 4, SAMPLES)
    references = torch.stack([sources[:, 0] + sources[:, 3], sources[:, 1] + sources[:, 2]], dim=1)
    loss, assignment = mixit_loss(references, sources)
    assert torch.allclose(loss, torch.full((2,), 2 * 10 * math.log10(1e-3)), atol=1e-4)
    assert assignment[0].tolist() == [[1, 0, 0, 1], [0, 1, 1, 0]]


def test_silent_estimates_have_the_loss_of_two_thresholds() -> None:
    loss, _ = mixit_loss(noise(1, 2, SAMPLES), torch.zeros(1, 4, SAMPLES))
    assert loss.item() == pytest.approx(2 * 10 * math.log10(1.001), abs=1e-5)


def test_permuted_sources_permute_the_assignment_and_keep_the_loss() -> None:
    references, estimates = example("noisy", 8)
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    loss, assignment = mixit_loss(references, estimates)
    permuted_loss, permuted = mixit_loss(references, estimates[:, order])
    assert torch.equal(permuted, assignment[:, :, order])
    assert torch.allclose(permuted_loss, loss, atol=1e-4)


def test_swapped_mixtures_swap_the_rows() -> None:
    references, estimates = example("noisy", 4)
    loss, assignment = mixit_loss(references, estimates)
    swapped_loss, swapped = mixit_loss(references.flip(1), estimates)
    assert torch.equal(swapped, assignment.flip(1))
    assert torch.allclose(swapped_loss, loss, atol=1e-5)


def test_twelve_sources_are_all_given_back_to_their_mixture() -> None:
    sources = noise(2, 12, SAMPLES)
    owner = torch.tensor([0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1])
    references = torch.stack([sources[:, owner == 0].sum(1), sources[:, owner == 1].sum(1)], dim=1)
    assert torch.equal(best_assignment(references, sources)[:, 1], owner.float().expand(2, 12))


def test_estimates_that_do_not_add_up_are_judged_against_each_mixture_separately() -> None:
    # x1 = (1, 0), x2 = (0, 2), one source (0, 2): all of x1 is missing, nothing of x2; 0.0043 - 30 dB.
    references, estimates = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[[0.0, 2.0]]])
    loss, assignment = mixit_loss(references, estimates)
    assert assignment[0].tolist() == [[0.0], [1.0]]
    assert loss.item() == pytest.approx(10 * math.log10(1.001) - 30, abs=1e-4)


def test_loss_does_not_change_with_the_level() -> None:
    references, estimates = example("noisy", 4)
    loss, assignment = mixit_loss(references, estimates)
    quiet_loss, quiet = mixit_loss(references / 1000, estimates / 1000)
    assert torch.equal(quiet, assignment)
    assert torch.allclose(quiet_loss, loss, atol=1e-4)


@pytest.mark.parametrize("num_sources", [1, 2, 4, 8])
def test_ties_go_to_the_first_mixture(num_sources: int) -> None:
    assert torch.equal(best_assignment(*example("everything silent", num_sources))[:, 0], torch.ones(3, num_sources))
    references, estimates = example("noisy", num_sources)
    silent = torch.cat([estimates, torch.zeros(BATCH, 2, SAMPLES)], dim=1)
    expected = torch.cat([best_assignment(references, estimates)[:, 0], torch.ones(BATCH, 2)], dim=1)
    assert torch.equal(best_assignment(references, silent)[:, 0], expected)


def test_of_two_equal_sources_the_earlier_one_goes_to_the_second_mixture() -> None:
    tone = noise(1, 1, SAMPLES)
    # Either copy fits either mixture, and number 1 (source 0 to the second mixture) comes before number 2.
    assignment = best_assignment(torch.cat([tone, tone], dim=1), torch.cat([tone, tone], dim=1))
    assert assignment[0].tolist() == [[0, 1], [1, 0]]


def test_of_equal_assignments_the_lowest_number_wins_in_spite_of_rounding() -> None:
    references, estimates = example("duplicate sources", 8)
    losses, subsets = brute_force(references, estimates)
    numbers = (subsets * 2 ** torch.arange(8)).sum(1)
    chosen = (best_assignment(references, estimates)[:, 1] * 2 ** torch.arange(8)).sum(1)
    for row in range(BATCH):
        equal = losses[row] < losses[row].min() + 1e-7
        assert equal.sum() > 1
        assert chosen[row] == numbers[equal].min()


def test_mixtures_longer_than_one_chunk_equal_brute_force() -> None:
    # The halves ask for opposite assignments: the first half is the louder in example 0, the second in example 1.
    first, second = noise(2, 2, CHUNK), noise(2, 2, CHUNK, seed=1)
    first[0], second[1] = 2 * first[0], 2 * second[1]
    references, estimates = torch.cat([first, second], dim=-1), torch.cat([first, second.flip(1)], dim=-1)
    loss, assignment = mixit_loss(references, estimates)
    assert assignment.tolist() == [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    assert torch.allclose(loss.double(), brute_force(references, estimates)[0].amin(1), rtol=0, atol=TOLERANCE_DB)


def test_a_hundred_drawn_assignments_equal_brute_force() -> None:
    references, estimates = noise(100, 2, 64), noise(100, 4, 64, seed=1)
    losses, subsets = brute_force(references, estimates)
    assert torch.equal(best_assignment(references, estimates)[:, 1], subsets[losses.argmin(1)])


def test_autocast_changes_nothing() -> None:
    references, estimates = example("noisy", 8)
    loss, assignment = mixit_loss(references, estimates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast_loss, cast_assignment = mixit_loss(references, estimates)
    assert cast_loss.dtype == torch.float32
    assert torch.equal(cast_loss, loss)
    assert torch.equal(cast_assignment, assignment)


def test_half_precision_estimates_are_measured_in_fp32() -> None:
    references, estimates = example("noisy", 4)
    half = estimates.bfloat16()
    loss, _ = mixit_loss(references, half)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, mixit_loss(references, half.float())[0])


def test_assignment_carries_no_gradient() -> None:
    references, estimates = example("noisy", 2)
    loss, assignment = mixit_loss(references, estimates.requires_grad_())
    assert loss.requires_grad
    assert not assignment.requires_grad


def test_silent_second_mixture_of_a_single_mixture_adds_nothing_and_sends_no_gradient() -> None:
    references, estimates = example("silent second mixture", 4)
    estimates.requires_grad_()
    loss = assigned_loss(references, estimates, all_to_first(estimates))
    assert torch.allclose(loss, snr_loss(references[:, 0], estimates.sum(1)), atol=1e-5)
    # Sources in the silent row: only what the first mixture lacks counts, and it gives them no gradient.
    all_to_second = all_to_first(estimates).flip(1)
    misplaced = assigned_loss(references, estimates, all_to_second)
    (gradient,) = torch.autograd.grad(misplaced.sum(), estimates)
    assert torch.allclose(misplaced, torch.tensor(10 * math.log10(1.001)), atol=1e-5)
    assert torch.equal(gradient, torch.zeros_like(estimates))


def test_consistent_estimates_of_a_single_mixture_all_return_to_it() -> None:
    weak = 10 ** torch.tensor([0.0, -1.0, -2.0, -3.0])[None, :, None]
    estimates = weak * noise(2, 4, SAMPLES)
    mixture = estimates.sum(1)
    loss, assignment = mixit_loss(torch.stack([mixture, torch.zeros_like(mixture)], dim=1), estimates)
    assert torch.equal(assignment, all_to_first(estimates))
    assert torch.allclose(loss, torch.tensor(-30.0), atol=1e-4)


def test_gradients_stay_finite_around_silence() -> None:
    references, estimates = example("everything silent", 4)
    references[0, 0] = 1e-5 * noise(SAMPLES)
    for candidate in (estimates, 1e-20 * noise(*estimates.shape)):
        candidate = candidate.clone().requires_grad_()
        loss, _ = mixit_loss(references, candidate)
        loss.sum().backward()
        assert candidate.grad is not None
        assert torch.isfinite(loss).all()
        assert torch.isfinite(candidate.grad).all()


def test_nan_estimates_are_not_hidden() -> None:
    references, estimates = example("noisy", 2)
    estimates[0, 0, 0] = torch.nan
    assert torch.isnan(mixit_loss(references, estimates)[0]).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        ((4, 1, 9), (4, 2, 9), "two mixtures or more"),
        ((2, 9), (4, 2, 9), "two mixtures or more"),
        ((4, 2, 0), (4, 2, 0), "T >= 1"),
        ((4, 2, 9), (4, 2, 8), "expected \\[4, S, 9\\]"),
        ((4, 2, 9), (3, 2, 9), "expected \\[4, S, 9\\]"),
        ((4, 2, 9), (4, 9), "expected \\[4, S, 9\\]"),
        ((4, 2, 9), (4, 0, 9), "expected S >= 1 sources"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(references: tuple, estimates: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixit_loss(torch.zeros(references), torch.zeros(estimates))


def test_assignment_and_waveform_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"assignment \[4, 2, 3\]: expected \[4, 2, 5\]"):
        assigned_loss(torch.zeros(4, 2, 9), torch.zeros(4, 5, 9), torch.zeros(4, 2, 3))
