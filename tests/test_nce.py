"""NCE equals the textbook in both published forms, knows no same-video noise, and its memory survives a checkpoint."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.nce import MemoryBank, log_sum_noise, nce_loss, noise_logits

BATCH, NUM_CLIPS, NUM_NEGATIVES, DIM, TEMPERATURE = 5, 40, 24, 8, 0.5
NONE = torch.zeros(BATCH, NUM_NEGATIVES, dtype=torch.bool)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries [B, D], their positives' logits [B], a bank [N, D], negatives of each row [B, K]; float64."""
    generator = torch.Generator().manual_seed(seed)
    unit = F.normalize(torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64), dim=1)
    bank = F.normalize(torch.randn(NUM_CLIPS, DIM, generator=generator, dtype=torch.float64), dim=1)
    negatives = torch.randint(NUM_CLIPS, (BATCH, NUM_NEGATIVES), generator=generator)
    return unit / TEMPERATURE, (unit * bank[:BATCH]).sum(dim=1) / TEMPERATURE, bank, negatives


def bank_of(videos: list[int], seed: int = 0) -> MemoryBank:
    """A memory in which every clip is there."""
    generator = torch.Generator().manual_seed(seed)
    bank = MemoryBank(torch.tensor(videos), DIM)
    rows = [torch.randn(len(videos), DIM, generator=generator) for _ in range(2)]
    bank.update(torch.arange(len(videos)), *rows)
    return bank


def test_the_loss_is_that_of_cmc_written_with_probabilities() -> None:
    queries, positive, bank, negatives = scene()
    noise = noise_logits(queries, bank, negatives)
    z = noise.exp().mean() * NUM_CLIPS  # NCEAverage.py: mean times the number of data
    p_n, m = 1 / NUM_CLIPS, NUM_NEGATIVES
    p_positive, p_noise = positive.exp() / z, noise.exp() / z
    expected = -(p_positive / (p_positive + m * p_n)).log() - (m * p_n / (p_noise + m * p_n)).log().sum(dim=1)
    loss = nce_loss(positive, noise, NONE, (z / NUM_CLIPS).log())
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_the_loss_is_that_of_avid_written_with_its_mean_of_exponentials() -> None:
    queries, positive, bank, negatives = scene(1)
    noise = noise_logits(queries, bank, negatives)
    mean, k = noise.exp().mean(), NUM_NEGATIVES
    expected = -(positive.exp() / (positive.exp() + k * mean)).log()
    expected = expected - (k * mean / (noise.exp() + k * mean)).log().sum(dim=1)
    torch.testing.assert_close(nce_loss(positive, noise, NONE, mean.log()), expected, rtol=1e-12, atol=0)


def test_single_precision_is_as_exact_as_its_digits_where_the_textbook_overflows() -> None:
    queries, positive, bank, negatives = scene(2)
    queries, positive = 200 * queries, 200 * positive  # logits of hundreds: exp has no single-precision value
    log_mean = torch.tensor(150.0, dtype=torch.float64)
    exact = nce_loss(positive, noise_logits(queries, bank, negatives), NONE, log_mean)
    single = nce_loss(positive.float(), noise_logits(queries.float(), bank.float(), negatives), NONE, log_mean.float())
    assert torch.isfinite(exact).all()
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-3)


def test_gradients_are_those_of_the_textbook() -> None:
    queries, positive, bank, negatives = scene(3)
    for tensor in (queries, positive):
        tensor.requires_grad_()
    noise = noise_logits(queries, bank, negatives)
    mean = noise.detach().exp().mean()
    ours = torch.autograd.grad(nce_loss(positive, noise, NONE, mean.log()).sum(), (queries, positive))
    noise = (queries[:, None] * bank[negatives]).sum(dim=2).exp()
    level = NUM_NEGATIVES * mean
    textbook = -(positive.exp() / (positive.exp() + level)).log() - (level / (noise + level)).log().sum(dim=1)
    expected = torch.autograd.grad(textbook.sum(), (queries, positive))
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_shared_gathered_and_picked_negatives_are_equal_where_the_sets_are_equal() -> None:
    queries, _, bank, _ = scene(4)
    shared = torch.tensor([3, 39, 3, 17])
    each = shared.expand(BATCH, -1)
    expected = noise_logits(queries, bank, shared)
    for whole_bank in (False, True, None):
        torch.testing.assert_close(noise_logits(queries, bank, each, whole_bank), expected, rtol=1e-12, atol=1e-12)


def test_noise_of_the_same_video_counts_for_nothing() -> None:
    bank = bank_of([0, 0, 1, 2, 3])
    excluded = bank.excluded(torch.tensor([0, 2]), torch.tensor([0, 1, 2, 3]))
    assert excluded.tolist() == [[True, True, False, False], [False, False, True, False]]
    positive, noise = torch.zeros(2), torch.tensor([[9.0, 9.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    loss = nce_loss(positive, noise, excluded, torch.tensor(0.0))
    # two negatives remain in the first row, three in the second, all with logit 0 and mean 1: h = -log m
    expected = [math.log1p(m) + m * math.log1p(1 / m) for m in (2, 3)]
    assert loss.tolist() == pytest.approx(expected)
    total, count = log_sum_noise(noise, excluded)
    assert total.item() == pytest.approx(math.log(5))  # exp(0) of five
    assert count.item() == pytest.approx(math.log(5))


def test_clips_that_no_batch_has_held_are_no_noise_and_a_row_without_noise_costs_nothing() -> None:
    bank = MemoryBank(torch.arange(4), DIM)
    clips, negatives = torch.tensor([0, 1]), torch.tensor([2, 3, 0])
    queries = torch.ones(2, DIM, requires_grad=True)
    noise = noise_logits(queries, bank.audio, negatives)
    excluded = bank.excluded(clips, negatives)
    assert excluded.all()
    log_mean = bank.observe(0, *log_sum_noise(noise, excluded))
    loss = nce_loss(queries.sum(dim=1), noise, excluded, log_mean)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert torch.equal(queries.grad, torch.zeros(2, DIM))
    bank.update(clips, torch.ones(2, DIM), torch.ones(2, DIM))
    assert bank.excluded(clips, negatives).tolist() == [[True, True, True], [True, True, False]]


def test_rows_move_by_their_momentum_and_keep_length_one() -> None:
    bank = MemoryBank(torch.arange(3), 2, momentum=0.75)
    east, north = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    bank.update(torch.tensor([1]), east, north)
    assert bank.visual.tolist() == [[0, 0], [1, 0], [0, 0]]  # the first embedding is taken as it is
    bank.update(torch.tensor([1]), north, east)
    norm = math.hypot(0.75, 0.25)
    assert bank.visual[1].tolist() == pytest.approx([0.75 / norm, 0.25 / norm])
    assert bank.audio[1].tolist() == pytest.approx([0.25 / norm, 0.75 / norm])


def test_the_estimate_of_z_is_a_running_mean_of_exponentials_even_where_they_overflow() -> None:
    for shift in (0.0, 500.0):
        bank = MemoryBank(torch.arange(3), 2, z_momentum=0.9)
        means = torch.tensor([2.0, 4.0, 1.0])
        expected = 2.0
        for step, mean in enumerate(means):
            expected = 0.9 * expected + 0.1 * float(mean) if step else 2.0
            found = bank.observe(1, mean.log() + shift + math.log(7), torch.tensor(math.log(7.0)))
        assert found.item() == pytest.approx(math.log(expected) + shift, rel=1e-6)
        assert bank.log_mean_noise[0] == -math.inf  # the other view has not been seen
        bank.observe(1, torch.tensor(-math.inf), torch.tensor(-math.inf))
        assert bank.log_mean_noise[1].item() == found.item()  # a step without noise says nothing


def test_a_memory_comes_back_from_its_state() -> None:
    bank, copy = bank_of([0, 1, 2]), MemoryBank(torch.tensor([0, 1, 2]), DIM)
    bank.observe(0, torch.tensor(3.0), torch.tensor(1.0))
    copy.load_state_dict(bank.state_dict())
    assert copy.filled.all()
    for name, value in bank.state_dict().items():
        assert torch.equal(value, copy.state_dict()[name])


def test_half_precision_embeddings_give_fp32_logits_under_autocast() -> None:
    queries, _, bank, negatives = scene()
    queries, bank = queries.float(), bank.float()
    expected = queries @ bank[negatives[0]].T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(noise_logits(queries, bank, negatives[0]), expected)


@pytest.mark.parametrize(("momentum", "z_momentum"), [(1.0, 0.99), (-0.1, 0.99), (0.5, 0.0), (0.5, 1.0)])
def test_momenta_out_of_range_are_refused(momentum: float, z_momentum: float) -> None:
    with pytest.raises(ValueError, match=r"momentum = .*: expected"):
        MemoryBank(torch.arange(3), 2, momentum=momentum, z_momentum=z_momentum)
