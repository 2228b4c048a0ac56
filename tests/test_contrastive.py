"""InfoNCE equals torch's cross-entropy, and moments of one video never count against each other."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.contrastive import info_nce, source_info_nce

DIFFERENT = torch.tensor([5, 3, 9, 2, 7, 11])


def some_logits(batch: int = 6, seed: int = 0) -> Tensor:
    """Cosines over a temperature of 0.07, those of the diagonal among the higher ones."""
    generator = torch.Generator().manual_seed(seed)
    visual = torch.randn(batch, 16, generator=generator)
    audio = visual + torch.randn(batch, 16, generator=generator)
    return F.normalize(visual) @ F.normalize(audio).T / 0.07


def test_loss_is_the_mean_cross_entropy_of_both_directions_where_all_videos_differ() -> None:
    logits, target = some_logits(), torch.arange(6)
    loss = info_nce(logits, DIFFERENT)
    assert loss.shape == (6,)
    both = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
    assert loss.mean().item() == pytest.approx(both.item() / 2, abs=1e-5)


def test_loss_is_symmetric_in_the_two_modalities() -> None:
    logits, videos = some_logits(), torch.tensor([0, 0, 1, 2, 3, 3])
    assert torch.allclose(info_nce(logits, videos), info_nce(logits.T, videos), atol=1e-6)


def test_other_moments_of_the_same_video_do_not_matter() -> None:
    logits, videos = some_logits(), torch.tensor([4, 4, 1, 2, 3, 5])
    before = info_nce(logits, videos)
    logits[0, 1] = logits[1, 0] = 1 / 0.07  # as close as can be
    logits[1, 2:] += 1
    after = info_nce(logits, videos)
    rest = torch.tensor([0, 2, 3, 4, 5])
    without = info_nce(logits[rest][:, rest], torch.arange(5))
    assert torch.equal(before[0], after[0])
    assert torch.allclose(after[0], without[0], atol=1e-6)
    assert not torch.allclose(before[2], after[2])  # for other videos the row is a negative


def test_one_video_alone_costs_nothing_and_sends_no_gradient() -> None:
    logits = some_logits().requires_grad_()
    loss = info_nce(logits, torch.zeros(6, dtype=torch.int64))
    loss.sum().backward()
    assert loss.tolist() == [0.0] * 6
    assert torch.equal(logits.grad, torch.zeros(6, 6))


def test_scores_that_say_nothing_are_at_chance() -> None:
    loss = info_nce(torch.full((8, 8), 3.0), torch.arange(8))
    assert torch.allclose(loss, torch.tensor(math.log(8)), atol=1e-5)


def test_the_gradient_is_what_each_direction_believes_less_the_truth() -> None:
    logits = some_logits().double().requires_grad_()
    info_nce(logits, DIFFERENT).sum().backward()
    odds = logits.detach().exp()
    believed = (odds / odds.sum(dim=0) + odds / odds.sum(dim=1, keepdim=True)) / 2
    torch.testing.assert_close(logits.grad, believed - torch.eye(6, dtype=torch.float64))


def test_logits_that_exp_cannot_hold_stay_finite() -> None:
    logits = (1000 * some_logits().flip(0)).requires_grad_()
    loss = info_nce(logits, DIFFERENT)
    loss.sum().backward()
    assert loss.max() > 1000
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


def test_half_precision_and_autocast_give_the_loss_in_single_precision() -> None:
    logits = some_logits().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(logits, DIFFERENT)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, info_nce(logits.float(), DIFFERENT))
    assert info_nce(logits.double(), DIFFERENT).dtype == torch.float64


def test_shapes_that_do_not_fit_are_refused() -> None:
    for logits, videos in ((torch.zeros(6, 4), 6), (torch.zeros(6, 6), 5), (torch.zeros(6), 6)):
        with pytest.raises(ValueError, match="one video for each matched pair"):
            info_nce(logits, torch.arange(videos))


# --- sources ---


def test_sources_of_one_each_have_info_nce() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = info_nce(logits, torch.arange(5)).mean()
    torch.testing.assert_close(source_info_nce(logits, torch.arange(5), torch.ones(5)), expected)


def test_sources_weigh_as_their_weights_say_and_ownerless_ones_are_rivals_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    own = torch.tensor([0, 0, 1, 1, -1, -1])
    weights = torch.tensor([0.7, 0.3, 0.5, 0.5, 0.9, 0.1], dtype=torch.float64)
    total = 0.0
    for row in range(4):
        video = int(own[row])
        picks_video = -math.log(math.exp(logits[row, video]) / sum(math.exp(logits[row, v]) for v in range(3)))
        rivals = sum(float(weights[k]) * math.exp(logits[k, video]) for k in range(6) if own[k] != video)
        mine = math.exp(logits[row, video])
        total += float(weights[row]) * (picks_video - math.log(mine / (mine + rivals))) / 2
    assert source_info_nce(logits, own, weights).item() == pytest.approx(total / 2)


def test_sources_without_any_owner_cost_nothing() -> None:
    logits = torch.randn(2, 2, requires_grad=True)
    loss = source_info_nce(logits, torch.tensor([-1, -1]), torch.ones(2))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
