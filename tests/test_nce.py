"""NCE equals the textbook in both published forms, knows no same-video noise, and its memory has no age."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.nce import MemoryBank, centred, log_sum_noise, nce_loss, noise_logits

BATCH, NUM_CLIPS, NUM_NEGATIVES, DIM, TEMPERATURE = 5, 40, 24, 8, 0.5
NONE = torch.zeros(BATCH, NUM_NEGATIVES, dtype=torch.bool)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries [B, D], their positives' logits [B], a bank [N, D], negatives of each row [B, K]; float64."""
    generator = torch.Generator().manual_seed(seed)
    unit = F.normalize(torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64), dim=1)
    bank = F.normalize(torch.randn(NUM_CLIPS, DIM, generator=generator, dtype=torch.float64), dim=1)
    negatives = torch.randint(NUM_CLIPS, (BATCH, NUM_NEGATIVES), generator=generator)
    return unit / TEMPERATURE, (unit * bank[:BATCH]).sum(dim=1) / TEMPERATURE, bank, negatives


def memory_of(videos: list[int], seed: int = 0) -> MemoryBank:
    """A memory that clips of these videos fill."""
    generator = torch.Generator().manual_seed(seed)
    memory = MemoryBank(len(videos), DIM)
    rows = [torch.randn(len(videos), DIM, generator=generator) for _ in range(2)]
    memory.remember(torch.tensor(videos), *rows)
    return memory


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
    memory = memory_of([0, 0, 1, 2, 3])
    excluded = memory.excluded(torch.tensor([0, 1]), torch.tensor([0, 1, 2, 3]))
    assert excluded.tolist() == [[True, True, False, False], [False, False, True, False]]
    positive, noise = torch.zeros(2), torch.tensor([[9.0, 9.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    loss = nce_loss(positive, noise, excluded, torch.tensor(0.0))
    # two negatives remain in the first row, three in the second, all with logit 0 and mean 1: h = -log m
    expected = [math.log1p(m) + m * math.log1p(1 / m) for m in (2, 3)]
    assert loss.tolist() == pytest.approx(expected)
    total, count = log_sum_noise(noise, excluded)
    assert total.item() == pytest.approx(math.log(5))  # exp(0) of five
    assert count.item() == pytest.approx(math.log(5))


def test_an_empty_memory_has_no_noise_and_a_row_without_noise_costs_nothing() -> None:
    memory = MemoryBank(4, DIM)
    videos, negatives = torch.tensor([0, 1]), memory.rows(torch.tensor([0.0, 0.3, 0.999]))
    queries = torch.ones(2, DIM, requires_grad=True)
    noise = noise_logits(queries, memory.audio, negatives)
    excluded = memory.excluded(videos, negatives)
    assert excluded.all()
    log_mean = memory.observe(0, *log_sum_noise(noise, excluded))
    loss = nce_loss(queries.sum(dim=1), noise, excluded, log_mean)
    loss.sum().backward()
    assert loss.tolist() == [0, 0]
    assert torch.equal(queries.grad, torch.zeros(2, DIM))


def test_the_memory_holds_the_last_clips_and_draws_evenly_from_what_there_is() -> None:
    memory, places = MemoryBank(5, 1), torch.arange(1000, dtype=torch.float64) / 1000
    for first in (0, 2, 4, 6):
        videos = torch.tensor([first, first + 1])
        memory.remember(videos, videos[:, None].float(), -videos[:, None].float())
        counts = memory.rows(places).bincount(minlength=5)
        filled = min(first + 2, 5)
        assert counts[:filled].tolist() == pytest.approx([1000 / filled] * filled, abs=1)
        assert counts[filled:].sum() == 0
    assert memory.videos.tolist() == [5, 6, 7, 3, 4]  # 0, 1 and 2 are forgotten
    assert memory.visual[:, 0].tolist() == [5, 6, 7, 3, 4]
    assert memory.audio[:, 0].tolist() == [-5, -6, -7, -3, -4]
    memory.remember(torch.arange(9), torch.arange(9.0)[:, None], torch.arange(9.0)[:, None])  # more than it holds
    assert sorted(memory.videos.tolist()) == [4, 5, 6, 7, 8]


def test_towers_that_drift_together_neither_gain_nor_lose() -> None:
    """A key that moves with time as all others do is no nearer to its picture than a remembered one."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(4, BATCH, DIM, generator=generator, dtype=torch.float64)
    drift = 10 * torch.randn(DIM, generator=generator, dtype=torch.float64)
    queries = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)
    losses = []
    for speed in (0.0, 1.0):
        memory = MemoryBank(3 * BATCH, DIM).double()
        for age, keys in enumerate(steps[:3]):
            moved = centred(keys + speed * age * drift)
            memory.remember(torch.arange(BATCH) + age * BATCH, moved, moved)
        present = centred(steps[3] + speed * 3 * drift)
        rows = torch.arange(3 * BATCH)
        noise = noise_logits(queries, memory.audio, rows)
        excluded = memory.excluded(torch.arange(BATCH) + 3 * BATCH, rows)
        log_mean = memory.observe(0, *log_sum_noise(noise, excluded))
        losses.append(nce_loss((queries * present).sum(dim=1), noise, excluded, log_mean))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-9, atol=1e-9)


def test_the_estimate_of_z_is_a_running_mean_of_exponentials_even_where_they_overflow() -> None:
    for shift in (0.0, 500.0):
        memory = MemoryBank(3, 2, z_momentum=0.9)
        means = torch.tensor([2.0, 4.0, 1.0])
        expected = 2.0
        for step, mean in enumerate(means):
            expected = 0.9 * expected + 0.1 * float(mean) if step else 2.0
            found = memory.observe(1, mean.log() + shift + math.log(7), torch.tensor(math.log(7.0)))
        assert found.item() == pytest.approx(math.log(expected) + shift, rel=1e-6)
        assert memory.log_mean_noise[0] == -math.inf  # the other view has not been seen
        memory.observe(1, torch.tensor(-math.inf), torch.tensor(-math.inf))
        assert memory.log_mean_noise[1].item() == found.item()  # a step without noise says nothing


def test_a_memory_comes_back_from_its_state() -> None:
    memory, copy = memory_of([0, 1, 2]), MemoryBank(3, DIM)
    memory.observe(0, torch.tensor(3.0), torch.tensor(1.0))
    copy.load_state_dict(memory.state_dict())
    for found in (memory, copy):
        found.remember(torch.tensor([7]), torch.ones(1, DIM), torch.ones(1, DIM))
    assert copy.videos.tolist() == [7, 1, 2]
    for name, value in memory.state_dict().items():
        assert torch.equal(value, copy.state_dict()[name])


def test_half_precision_embeddings_give_fp32_logits_under_autocast() -> None:
    queries, _, bank, negatives = scene()
    queries, bank = queries.float(), bank.float()
    expected = queries @ bank[negatives[0]].T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(noise_logits(queries, bank, negatives[0]), expected)
