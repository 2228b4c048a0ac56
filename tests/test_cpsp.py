"""The losses of event localisation against cases worked out by hand, and against what was released."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.contrastive import info_nce
from pipeline.losses.cpsp import (
    NO_CATEGORY,
    avpsp_loss,
    released_joint_tag_loss,
    released_tag_loss,
    spsa_loss,
    sspsp_loss,
    tag_loss,
    vpsa_loss,
)
from tests.helpers.released_cpsp import released_spsa, released_vpsa


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def angles(*degrees: float) -> Tensor:
    """Unit vectors of the plane [len(degrees), 2]."""
    turned = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([turned.cos(), turned.sin()], dim=1)


# --- L_avpsp ---


def test_pairs_agree_in_shares_and_the_target_is_the_share_of_events() -> None:
    visual = angles(0, 0, 0, 0)[None] * 3
    audio = angles(0, 60, 90, 180)[None]  # agreement 1, 1/2, 0 and, below it, 0: shares 2/3, 1/3, 0, 0
    is_event = torch.tensor([[True, False, True, False]])  # shares 1/2, 0, 1/2, 0
    expected = ((2 / 3 - 1 / 2) ** 2 + (1 / 3) ** 2 + (1 / 2) ** 2) / 4
    assert avpsp_loss(visual, audio, is_event).item() == pytest.approx(expected, abs=1e-6)


def test_a_clip_without_an_event_is_asked_for_no_agreement() -> None:
    rows = angles(0, 90)[None]
    none = torch.zeros(1, 2, dtype=torch.bool)
    assert avpsp_loss(rows, rows, none).item() == pytest.approx(1 / 4, abs=1e-6)  # shares 1/2 each, target 0
    assert avpsp_loss(rows, -rows, none).item() == 0


# --- PSA_S ---


def test_segments_with_an_event_are_compared_with_the_mean_of_those_without() -> None:
    fused = (angles(0, 60, 90, 180) * torch.tensor([[1.0], [5.0], [2.0], [0.5]]))[None]
    is_event = torch.tensor([[True, True, False, False]])

    def e(cosine: float) -> float:
        return math.exp(cosine / 0.6)

    positive = e(1) + e(0.5)  # of either
    first = -math.log(positive / (positive + (e(0) + e(-1)) / 2))
    second = -math.log(positive / (positive + (e(math.sqrt(3) / 2) + e(-0.5)) / 2))
    assert spsa_loss(fused, is_event).item() == pytest.approx((first + second) / 2)


def test_the_contrast_of_segments_skips_clips_without_an_event_and_costs_nothing_without_background() -> None:
    fused = features(3, 6, 4)
    is_event = torch.tensor([[True] * 3 + [False] * 3, [False] * 6, [True] * 6])
    alone = spsa_loss(fused[:1], is_event[:1])
    assert spsa_loss(fused, is_event).item() == pytest.approx(alone.item() / 2)  # the third clip costs 0
    silent = spsa_loss(fused, torch.zeros(3, 6, dtype=torch.bool))
    silent.backward()
    assert silent.item() == 0
    assert torch.equal(fused.grad, torch.zeros_like(fused))


def test_the_contrast_of_segments_has_a_gradient_where_the_released_form_is_a_constant() -> None:
    is_event = torch.rand(4, 10, generator=torch.Generator().manual_seed(1)) < 0.6
    released, ours, gradients = [], [], []
    for seed in range(3):
        fused = features(4, 10, 16, seed=seed)
        value = released_spsa(fused, is_event)
        value.backward()
        released.append(value.item())
        assert fused.grad.abs().max() < 1e-9
        fused.grad = None
        value = spsa_loss(fused, is_event)
        value.backward()
        ours.append(value.item())
        gradients.append(fused.grad.abs().max().item())
    assert released == pytest.approx([released[0]] * 3, abs=1e-9)
    assert max(ours) - min(ours) > 1e-3
    assert min(gradients) > 1e-4


def test_the_contrast_of_segments_is_the_released_one_with_the_sum_over_the_other_axis() -> None:
    fused, is_event = features(4, 10, 16), torch.rand(4, 10, generator=torch.Generator().manual_seed(1)) < 0.6
    torch.testing.assert_close(spsa_loss(fused, is_event), released_spsa(fused, is_event, axis=2))


def test_the_contrast_of_segments_pulls_events_together_and_away_from_background() -> None:
    fused, is_event = features(1, 6, 8), torch.tensor([[True, True, True, False, False, False]])
    before = spsa_loss(fused, is_event)
    before.backward()
    moved = fused.detach() - 0.1 * fused.grad
    cosine = [F.normalize(x, dim=2)[0] @ F.normalize(x, dim=2)[0].T for x in (fused.detach(), moved)]
    assert cosine[1][:3, :3].sum() > cosine[0][:3, :3].sum()
    assert cosine[1][:3, 3:].sum() < cosine[0][:3, 3:].sum()


def test_a_low_temperature_stays_finite() -> None:
    fused, is_event = features(2, 6, 4).float(), torch.tensor([[True, False] * 3] * 2)
    assert spsa_loss(fused, is_event, temperature=0.001).isfinite()


# --- PSA_V ---


def test_the_farthest_of_a_category_is_compared_with_the_mean_of_the_nearest_of_others() -> None:
    fused = angles(0, 60, 90, 180).unsqueeze(1)  # one segment each: chords of 2 sin(half the angle)
    category = torch.tensor([0, 0, 1, 2])

    def chord(degrees: float) -> float:
        return 2 * math.sin(math.radians(degrees / 2))

    costs = [
        chord(60) - (chord(90) + chord(180)) / 2 + 0.9,
        chord(60) - (chord(30) + chord(120)) / 2 + 0.9,
        0 - (chord(30) + chord(90)) / 2 + 0.9,  # alone in its category: only itself
        0 - (chord(90) + chord(120)) / 2 + 0.9,
    ]
    expected = sum(max(0.0, cost) for cost in costs) / 4
    assert expected > 0
    assert vpsa_loss(fused, category, 0.9, 2).item() == pytest.approx(expected)


def test_clips_are_the_mean_of_their_unit_segments() -> None:
    fused = torch.stack([angles(0, 90) * torch.tensor([[1.0], [9.0]]), angles(180, 180)])
    distance = math.hypot(1.5, 0.5)  # of (1/2, 1/2) and (-1, 0)
    loss = vpsa_loss(fused, torch.tensor([0, 1]), margin=2.0, num_negatives=1)
    assert loss.item() == pytest.approx(2.0 - distance)


def test_with_fewer_negatives_than_asked_for_the_mean_is_over_those_that_there_are() -> None:
    fused, category = features(6, 10, 16), torch.tensor([3, 3, 3, 3, 3, 1])
    loss = vpsa_loss(fused, category, 0.6, 4)
    loss.backward()
    assert loss > 0.1
    assert fused.grad.abs().max() > 1e-3
    frequent = released_vpsa(fused, category, 0.6, 4)  # 10^12 is in the mean of five of six anchors
    rare = torch.relu(0.6 - torch.cdist(*[F.normalize(fused, dim=2).mean(dim=1)] * 2)[5, :5].sort().values[:4].mean())
    assert frequent.item() == pytest.approx(rare.item() / 6, abs=1e-6)


def test_with_enough_negatives_the_loss_is_the_released_one() -> None:
    fused, category = features(12, 10, 16), torch.arange(12) % 4
    loss = vpsa_loss(fused, category, 0.2, 3)
    assert loss > 0.05
    torch.testing.assert_close(loss, released_vpsa(fused, category, 0.2, 3), atol=1e-6, rtol=0)


def test_a_clip_without_a_category_is_a_negative_and_no_anchor() -> None:
    fused = angles(0, 90, 100).unsqueeze(1)
    loss = vpsa_loss(fused, torch.tensor([0, NO_CATEGORY, NO_CATEGORY]), margin=2.0, num_negatives=1)
    assert loss.item() == pytest.approx(2.0 - math.sqrt(2))


@pytest.mark.parametrize("category", [[1, 1, 1], [NO_CATEGORY] * 3])
def test_a_batch_of_one_category_costs_nothing_and_sends_no_gradient(category: list[int]) -> None:
    fused = features(3, 5, 4)
    loss = vpsa_loss(fused, torch.tensor(category), 0.2, 3)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(fused.grad, torch.zeros_like(fused))


# --- SSPSP ---


def test_each_sound_picks_its_picture_among_all_segments() -> None:
    visual, audio = features(2, 3, 8), features(2, 3, 8, seed=1)
    v, a = (F.normalize(x.detach().flatten(0, 1), dim=1).numpy() for x in (visual, audio))
    odds = np.exp(a @ v.T / 0.1)
    expected = -np.log(np.diag(odds) / odds.sum(axis=1)).mean()
    assert sspsp_loss(visual, audio).item() == pytest.approx(expected)


def test_equal_segments_are_at_chance() -> None:
    rows = torch.ones(4, 10, 3)
    assert sspsp_loss(rows, rows).item() == pytest.approx(math.log(40), rel=1e-6)


def test_self_supervision_has_one_of_the_two_directions_of_info_nce() -> None:
    visual, audio = (F.normalize(features(5, 1, 8, seed=seed), dim=2) for seed in range(2))
    both = info_nce(audio[:, 0] @ visual[:, 0].T / 0.1, torch.arange(5)).mean()
    torch.testing.assert_close((sspsp_loss(visual, audio) + sspsp_loss(audio, visual)) / 2, both)


# --- tags ---


def test_the_weak_loss_is_the_cross_entropy_of_tagged_clips() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [5.0, -7.0], [0.0, 0.0]])
    assert tag_loss(logits, torch.tensor([1, NO_CATEGORY, 0])).item() == pytest.approx(
        (math.log(4 / 3) + math.log(2)) / 2
    )


def test_the_released_weak_loss_has_a_floor_that_the_default_one_has_not() -> None:
    sure, tag = 50.0 * torch.eye(28)[:3], torch.arange(3)
    floor = (math.log(1 + math.exp(-1)) + 27 * math.log(2)) / 28
    assert floor == pytest.approx(0.680, abs=1e-3)
    assert released_tag_loss(sure, tag).item() == pytest.approx(floor)
    assert tag_loss(sure, tag).item() == pytest.approx(0, abs=1e-6)
    some = features(6, 28)
    expected = F.multilabel_soft_margin_loss(some.softmax(dim=1), F.one_hot(torch.arange(6), 28).double())
    torch.testing.assert_close(released_tag_loss(some, torch.arange(6)), expected)


def test_the_released_weak_loss_of_psp_is_binary_cross_entropy_of_a_softmax() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [100.0, 0.0]])
    expected = -math.log(3 / 4)  # of both classes: one is 3/4 and the other is not 1/4
    assert released_joint_tag_loss(logits[:1], torch.tensor([1])).item() == pytest.approx(expected)
    assert released_joint_tag_loss(logits, torch.tensor([1, NO_CATEGORY])).item() == pytest.approx(expected)
    assert released_joint_tag_loss(logits, torch.tensor([1, 1])).isfinite()


@pytest.mark.parametrize("loss", [tag_loss, released_tag_loss, released_joint_tag_loss])
def test_a_batch_without_tags_costs_nothing(loss) -> None:
    assert loss(torch.randn(3, 5), torch.full((3,), NO_CATEGORY)).item() == 0


def test_losses_are_in_single_precision_under_autocast() -> None:
    visual, audio = features(4, 5, 8).float(), features(4, 5, 8, seed=1).float()
    is_event, tag = torch.tensor([[True, False, True, False, True]] * 4), torch.tensor([0, 1, 0, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = values(visual, audio, is_event, tag)
    for value, outside in zip(inside, values(visual, audio, is_event, tag), strict=True):
        assert value.dtype == torch.float32
        assert torch.equal(value, outside)


def values(visual: Tensor, audio: Tensor, is_event: Tensor, tag: Tensor) -> list[Tensor]:
    tags = [loss(visual[:, 0], tag) for loss in (tag_loss, released_tag_loss, released_joint_tag_loss)]
    pairs = [avpsp_loss(visual, audio, is_event), sspsp_loss(visual, audio)]
    return [*pairs, spsa_loss(visual, is_event), vpsa_loss(visual, tag, 0.2, 3), *tags]
