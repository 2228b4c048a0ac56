"""Local search reaches the enumerated minimum where it can be known, with more than two mixtures too."""

import pytest
import torch
from torch import Tensor

from pipeline.losses.assignment_search import enumerate_assignments, search_assignment
from pipeline.losses.mixit import all_to_first, assigned_loss, best_assignment
from pipeline.losses.snr import gram
from tests.helpers.mixtures import BATCH, CASES, SAMPLES, brute_force, example, noise

TOLERANCE_DB = 1e-4


def owners(assignment: Tensor) -> Tensor:
    """[B, S] mixture of each source."""
    assert torch.equal(assignment.sum(1), torch.ones_like(assignment[:, 0]))
    return assignment.argmax(1)


def shared_out(owner: Tensor, sources: Tensor, num_mixtures: int) -> Tensor:
    """[B, N, T] mixtures of the sources [B, S, T] that belong to each."""
    return torch.stack([sources[:, owner == mixture].sum(1) for mixture in range(num_mixtures)], dim=1)


@pytest.mark.parametrize(("num_mixtures", "num_sources"), [(3, 1), (3, 2), (3, 4), (4, 3)])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_mixtures_equals_brute_force(case: str, num_mixtures: int, num_sources: int) -> None:
    references, estimates = example(case, num_sources, num_mixtures)
    losses, candidates = brute_force(references, estimates)
    assignment = best_assignment(references, estimates)
    loss = assigned_loss(references, estimates, assignment)
    torch.testing.assert_close(loss.double(), losses.amin(1), rtol=0, atol=TOLERANCE_DB)
    numbers = (candidates * num_mixtures ** torch.arange(num_sources)).sum(1)
    chosen = (owners(assignment) * num_mixtures ** torch.arange(num_sources)).sum(1)
    for row in range(BATCH):  # of equal ones the lowest number, digit s the mixture of source s
        assert chosen[row] == numbers[losses[row] < losses[row].min() + 1e-7].min()


@pytest.mark.parametrize(("num_mixtures", "num_sources"), [(2, 1), (2, 2), (2, 8), (3, 4)])
@pytest.mark.parametrize("case", CASES)
def test_search_equals_brute_force_in_every_kind_of_difficulty(case: str, num_mixtures: int, num_sources: int) -> None:
    references, estimates = example(case, num_sources, num_mixtures)
    loss = assigned_loss(references, estimates, best_assignment(references, estimates, enumerate_up_to=0))
    losses, _ = brute_force(references, estimates)
    torch.testing.assert_close(loss.double(), losses.amin(1), rtol=0, atol=TOLERANCE_DB)


def test_search_finds_nearly_every_minimum_where_least_squares_finds_half() -> None:
    generator = torch.Generator().manual_seed(0)
    sources = 10 ** (-2 * torch.rand(100, 10, 1, generator=generator)) * noise(100, 10, 400)
    estimates = sources + 0.05 * noise(100, 10, 400, seed=1)  # louder than the weakest sources
    products = gram(torch.stack([sources[:, :5].sum(1), sources[:, 5:].sum(1)], dim=1), estimates)
    same = search_assignment(products, 2, 400) == enumerate_assignments(products, 2, 400)
    assert same.all(1).sum() >= 98
    mixtures, estimated = products[:, 2:, :2], products[:, 2:, 2:]
    least_squares = torch.linalg.solve(estimated, mixtures).argmax(2)  # an independent solver
    assert (least_squares == enumerate_assignments(products, 2, 400)).all(1).sum() <= 80


def test_no_single_or_double_move_lowers_the_loss_of_what_was_found() -> None:
    references, estimates = noise(4, 3, 64), noise(4, 7, 64, seed=1)  # unrelated: many local minima
    found = best_assignment(references, estimates, enumerate_up_to=0)
    loss, owner = assigned_loss(references, estimates, found), owners(found)
    for one in range(7):
        for other in range(7):
            for to_one in range(3):
                for to_other in range(3):
                    moved = owner.clone()
                    moved[:, one], moved[:, other] = to_one, to_other
                    rows = torch.nn.functional.one_hot(moved, 3).mT.float()
                    assert (assigned_loss(references, estimates, rows) >= loss - TOLERANCE_DB).all()


@pytest.mark.parametrize(("num_mixtures", "num_sources"), [(2, 32), (3, 24), (5, 20)])
def test_more_sources_than_can_be_enumerated_are_given_back(num_mixtures: int, num_sources: int) -> None:
    sources = noise(2, num_sources, SAMPLES)
    owner = torch.randint(num_mixtures, (num_sources,), generator=torch.Generator().manual_seed(3))
    references = shared_out(owner, sources, num_mixtures)
    assignment = best_assignment(references, sources)
    assert torch.equal(owners(assignment), owner.expand(2, -1))
    loss = assigned_loss(references, sources, assignment)
    torch.testing.assert_close(loss, torch.full((2,), -30.0 * num_mixtures), atol=1e-3, rtol=0)


def test_silent_and_equal_sources_beyond_enumeration_follow_the_same_ties() -> None:
    tones = noise(1, 2, SAMPLES)
    sources = torch.cat([torch.zeros(1, 7, SAMPLES), tones, torch.zeros(1, 9, SAMPLES), tones], dim=1)
    # Each copy of a tone fits each mixture, which has both tones; silent sources stay in the first.
    owner = owners(best_assignment(tones.sum(1, keepdim=True).expand(1, 2, -1), sources))[0]
    assert owner.nonzero().flatten().tolist() == [7, 8]  # number i is lowest with the first copies in the second
    everything = best_assignment(torch.zeros(1, 2, SAMPLES), torch.zeros(1, 20, SAMPLES))
    assert torch.equal(everything, all_to_first(torch.zeros(1, 20, SAMPLES)))


def test_search_of_an_example_does_not_depend_on_the_others_and_not_on_the_level() -> None:
    references, estimates = noise(6, 2, 100), noise(6, 20, 100, seed=1)
    together = best_assignment(references, estimates)
    alone = torch.cat([best_assignment(references[i : i + 1], estimates[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)
    assert torch.equal(best_assignment(references / 1000, estimates / 1000), together)


def test_gradient_beyond_enumeration_is_that_of_the_chosen_assignment_alone() -> None:
    references, estimates = noise(2, 2, 100), noise(2, 20, 100, seed=1).requires_grad_()
    assignment = best_assignment(references, estimates)
    (found,) = torch.autograd.grad(assigned_loss(references, estimates, assignment).sum(), estimates)
    expected = torch.zeros(2, 20, 100, dtype=torch.float64)
    for b in range(2):
        for m in range(2):
            x, rows = references[b, m].double(), assignment[b, m].double()
            residual = x - rows @ estimates[b].detach().double()
            noise_energy = residual.square().sum() + 1e-3 * x.square().sum()
            expected[b] += rows[:, None] * (-2 * residual) * 10 / torch.log(torch.tensor(10.0)) / noise_energy
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)


def test_nan_beyond_enumeration_ends_and_is_not_hidden() -> None:
    references, estimates = noise(2, 2, 100), noise(2, 20, 100, seed=1)
    estimates[0, 3, 5] = torch.nan
    loss = assigned_loss(references, estimates, best_assignment(references, estimates))
    assert torch.isnan(loss).tolist() == [True, False]
