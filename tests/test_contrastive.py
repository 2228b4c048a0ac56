"""InfoNCE equals torch's cross-entropy, and moments of one video never count against each other."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.contrastive import info_nce, pair_logits

TEMPERATURE = 0.07


def embeddings(batch: int = 6, size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    visual = torch.randn(batch, size, generator=generator)
    return visual, visual + torch.randn(batch, size, generator=generator)


def test_logits_are_the_cosine_over_the_temperature() -> None:
    visual, audio = embeddings()
    expected = F.cosine_similarity(visual[:, None], audio[None, :4], dim=-1) / TEMPERATURE
    assert torch.allclose(pair_logits(visual, audio[:4], TEMPERATURE), expected, atol=1e-5)


def test_loss_is_the_mean_cross_entropy_of_both_directions_where_all_videos_differ() -> None:
    visual, audio = embeddings()
    logits = F.normalize(visual) @ F.normalize(audio).T / TEMPERATURE
    target = torch.arange(len(visual))
    loss = info_nce(visual, audio, TEMPERATURE, torch.tensor([5, 3, 9, 2, 7, 11]))
    assert loss.shape == (6,)
    both = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
    assert loss.mean().item() == pytest.approx(both.item() / 2, abs=1e-5)


def test_loss_is_symmetric_in_the_two_modalities() -> None:
    visual, audio = embeddings()
    videos = torch.tensor([0, 0, 1, 2, 3, 3])
    one, other = info_nce(visual, audio, 0.5, videos), info_nce(audio, visual, 0.5, videos)
    assert torch.allclose(one, other, atol=1e-6)


def test_other_moments_of_the_same_video_do_not_matter() -> None:
    visual, audio = embeddings()
    videos = torch.tensor([4, 4, 1, 2, 3, 5])
    before = info_nce(visual, audio, TEMPERATURE, videos)
    visual[1], audio[1] = audio[0], visual[0]  # as close to row 0 as can be
    after = info_nce(visual, audio, TEMPERATURE, videos)
    without = info_nce(visual[[0, 2, 3, 4, 5]], audio[[0, 2, 3, 4, 5]], TEMPERATURE, torch.arange(5))
    assert torch.equal(before[0], after[0])
    assert torch.allclose(after[0], without[0], atol=1e-6)
    assert not torch.allclose(before[2], after[2])  # for other videos the row is a negative


def test_one_video_alone_costs_nothing_and_sends_no_gradient() -> None:
    visual, audio = embeddings()
    visual.requires_grad_()
    loss = info_nce(visual, audio, TEMPERATURE, torch.zeros(6, dtype=torch.int64))
    loss.sum().backward()
    assert loss.tolist() == [0.0] * 6
    assert torch.equal(visual.grad, torch.zeros_like(visual))


def test_embeddings_that_say_nothing_are_at_chance() -> None:
    loss = info_nce(torch.ones(8, 4), torch.ones(8, 4), TEMPERATURE, torch.arange(8))
    assert torch.allclose(loss, torch.tensor(math.log(8)), atol=1e-5)


def test_length_of_embeddings_plays_no_role() -> None:
    visual, audio = embeddings()
    videos = torch.arange(6)
    scaled = info_nce(1e4 * visual, 1e-3 * audio, TEMPERATURE, videos)
    assert torch.allclose(scaled, info_nce(visual, audio, TEMPERATURE, videos), atol=1e-5)


def test_tiny_temperatures_and_zero_embeddings_stay_finite() -> None:
    visual, audio = embeddings()
    visual[0] = 0
    visual.requires_grad_()
    loss = info_nce(visual, audio.flip(0), 1e-4, torch.arange(6))
    loss.sum().backward()
    assert loss.max() > 1000  # logits up to 1e4, without overflow
    assert torch.isfinite(loss).all()
    assert torch.isfinite(visual.grad).all()


def test_a_learned_temperature_gets_the_gradient_of_the_loss() -> None:
    visual, audio = (e.double() for e in embeddings())
    videos = torch.tensor([0, 0, 1, 2, 3, 4])
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    info_nce(visual, audio, temperature, videos).sum().backward()
    above, below = (info_nce(visual, audio, t, videos).sum() for t in (0.3 + 1e-5, 0.3 - 1e-5))
    assert temperature.grad is not None
    assert temperature.grad.item() == pytest.approx((above - below).item() / 2e-5, rel=1e-6)


def test_autocast_and_half_precision_embeddings_give_fp32_logits() -> None:
    visual, audio = (e.bfloat16() for e in embeddings())
    expected = info_nce(visual.float(), audio.float(), TEMPERATURE, torch.arange(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(visual, audio, TEMPERATURE, torch.arange(6))
        assert pair_logits(visual, audio, TEMPERATURE).dtype == torch.float32
    assert torch.equal(loss, expected)


def test_shapes_and_temperatures_that_do_not_fit_are_refused() -> None:
    visual, audio = embeddings()
    with pytest.raises(ValueError, match="same D"):
        pair_logits(visual, audio[:, :3], TEMPERATURE)
    with pytest.raises(ValueError, match=r"temperature = 0: expected a positive number"):
        pair_logits(visual, audio, 0)
    for bad in ((visual, audio[:4], torch.arange(6)), (visual, audio, torch.arange(5))):
        with pytest.raises(ValueError, match="one video for each matched pair"):
            info_nce(bad[0], bad[1], TEMPERATURE, bad[2])
