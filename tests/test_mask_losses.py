"""Losses of segmentation on tensors made by hand, and against torch's own functions in the released order."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.masks import (
    cosine_mapping_loss,
    mapping_loss,
    masked_bce,
    mean_under,
    sound_contrast,
    visual_mapping_loss,
)


def outputs(clips: int = 3, frames: int = 2) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(clips, frames, *shape, generator=generator, dtype=torch.float64)

    return random(8, 8), [random(5, 4, 4), random(5, 2, 2)], [random(5), random(5)]


def released_pictures(logits: Tensor, level: Tensor, rectify: bool) -> Tensor:
    """[B K, C] of the masked picture, step by step as the released code goes."""
    clips, frames, channels, height, width = level.shape
    pooled = torch.nn.AdaptiveAvgPool2d((height, width))(logits.reshape(clips * frames, 1, *logits.shape[2:]))
    level = level.reshape(-1, channels, height, width)
    level = F.relu(level) if rectify else level
    return torch.mul(level, torch.sigmoid(pooled)).mean(-1).mean(-1)


# --- of masks ---


def test_bce_is_the_mean_over_pixels_of_frames_with_a_mask() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3), -math.log(3)]]).view(1, 2, 1, 2)
    masks = torch.tensor([[1, 0], [1, 1]]).view(1, 2, 1, 2)
    both, second = torch.tensor([[True, True]]), torch.tensor([[False, True]])
    of_second = (-math.log(0.75) - math.log(0.25)) / 2
    torch.testing.assert_close(masked_bce(logits, masks, second), torch.tensor(of_second))
    torch.testing.assert_close(masked_bce(logits, masks, both), torch.tensor((math.log(2) + of_second) / 2))


def test_clips_count_alike_however_many_of_their_frames_have_a_mask() -> None:
    logits, masks = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4) < 0.5
    valid = torch.tensor([[True, True, True], [False, True, False]])
    alone = [masked_bce(logits[row : row + 1], masks[row : row + 1], valid[row : row + 1]) for row in range(2)]
    torch.testing.assert_close(masked_bce(logits, masks, valid), (alone[0] + alone[1]) / 2)


def test_bce_without_a_mask_is_0_and_what_has_none_passes_no_gradient() -> None:
    logits = torch.randn(2, 2, 3, 3, requires_grad=True)
    masks, none = torch.ones(2, 2, 3, 3, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
    loss = masked_bce(logits, masks, none)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    one = none.clone()
    one[1, 0] = True
    masked_bce(logits, masks, one).backward()
    assert (logits.grad.abs().amax(dim=(2, 3)) > 0).tolist() == [[False, False], [True, False]]


def test_bce_of_large_logits_is_finite_where_a_sigmoid_would_be_1() -> None:
    loss = masked_bce(torch.full((1, 1, 1, 1), 200.0), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, dtype=torch.bool))
    assert loss == 200


# --- mapping ---


def test_as_released_it_is_the_sum_of_kl_div_over_frames_divided_by_the_stages() -> None:
    logits, maps, sounds = outputs()
    total = torch.zeros((), dtype=torch.float64)
    for level, sound in zip(maps, sounds, strict=True):
        seen = released_pictures(logits, level, rectify=True)
        target = sound.view(-1, 5).softmax(dim=-1)
        total += F.kl_div(seen.softmax(dim=-1).log(), target, reduction="sum")
    torch.testing.assert_close(mapping_loss(logits, maps, sounds, "released"), total / 2, rtol=0, atol=1e-12)


def test_per_sample_it_is_the_mean_over_frames_of_the_divergence_written_out() -> None:
    logits, maps, sounds = outputs()
    of_stages = []
    for level, sound in zip(maps, sounds, strict=True):
        heard, seen = sound.view(-1, 5).softmax(dim=1), released_pictures(logits, level, rectify=False).softmax(dim=1)
        of_stages.append((heard * (heard / seen).log()).sum(dim=1).mean())
    expected = torch.stack(of_stages).mean()
    torch.testing.assert_close(mapping_loss(logits, maps, sounds), expected, rtol=0, atol=1e-12)


def test_the_released_form_grows_with_the_batch_and_the_default_does_not() -> None:
    logits, maps, sounds = outputs()
    twice = (torch.cat([logits] * 2), [torch.cat([x] * 2) for x in maps], [torch.cat([x] * 2) for x in sounds])
    torch.testing.assert_close(mapping_loss(*twice), mapping_loss(logits, maps, sounds))
    torch.testing.assert_close(mapping_loss(*twice, "released"), 2 * mapping_loss(logits, maps, sounds, "released"))


def test_a_picture_that_says_what_the_sound_says_costs_nothing() -> None:
    sounds = [torch.randn(2, 3, 4)]
    maps = [2 * sounds[0][..., None, None].expand(-1, -1, -1, 2, 2)]  # logits of 0: half of each place counts
    assert mapping_loss(torch.zeros(2, 3, 8, 8), maps, sounds) < 1e-6


def test_the_mapping_losses_reach_masks_maps_and_sounds() -> None:
    for loss in (mapping_loss, visual_mapping_loss):
        logits, maps, sounds = outputs()
        of = [logits.requires_grad_(), *(x.requires_grad_() for x in maps)]
        of += [x.requires_grad_() for x in sounds] if loss is mapping_loss else []
        for gradient in torch.autograd.grad(loss(logits, maps, sounds), of):
            assert gradient.abs().max() > 0


def test_the_visual_form_compares_with_the_frame_whose_sound_is_nearest() -> None:
    logits, maps, sounds = outputs()
    total = torch.zeros((), dtype=torch.float64)
    for level, sound in zip(maps, sounds, strict=True):
        heard, seen = sound.view(-1, 5), released_pictures(logits, level, rectify=True)
        distances = torch.cdist(heard, heard) + 10 * torch.eye(6, dtype=torch.float64)
        target = seen[distances.argmin(dim=0)]
        total += F.kl_div(seen.softmax(dim=-1).log(), target.softmax(dim=-1), reduction="sum")
    torch.testing.assert_close(visual_mapping_loss(logits, maps, sounds, "released"), total / 2, rtol=0, atol=1e-12)


def test_the_cosine_form_means_the_places_under_the_mask_alone() -> None:
    sounds = [torch.tensor([1.0, 0.0]).view(1, 1, 2)]
    level = torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # [C, w]: the left place is [1, 1], the right one [0, 1]
    left, right = torch.tensor([9.0, -9.0]).view(1, 1, 1, 2), torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2)
    maps = [level.view(1, 1, 2, 1, 2)]
    loss = cosine_mapping_loss(left, maps, sounds)
    torch.testing.assert_close(loss, torch.tensor(math.log(2) / 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(cosine_mapping_loss(right, maps, sounds), torch.tensor(-math.log(1e-6)))


def test_nothing_to_map_is_an_error() -> None:
    with pytest.raises(ValueError, match="no maps"):
        mapping_loss(torch.zeros(1, 1, 4, 4), [], [])


def test_under_autocast_losses_are_in_single_precision() -> None:
    logits, maps, sounds = (values for values in outputs())
    low = [[x.to(torch.bfloat16) for x in group] for group in ([logits], maps, sounds)]
    with torch.autocast("cpu", torch.bfloat16):
        assert mapping_loss(low[0][0], low[1], low[2]).dtype == torch.float32
        valid = torch.ones(3, 2, dtype=torch.bool)
        assert masked_bce(low[0][0], torch.ones(3, 2, 8, 8), valid).dtype == torch.float32


# --- what sounds, and the sound ---


def test_the_mean_under_a_mask_counts_a_place_by_its_share_of_pixels() -> None:
    level = torch.tensor([[1.0, 5.0], [7.0, 9.0]]).view(1, 1, 1, 2, 2)
    masks = torch.zeros(1, 1, 4, 4)
    masks[0, 0, :2, :2] = 1  # the whole of the place of 1
    masks[0, 0, 0, 2] = 1  # a quarter of that of 5
    torch.testing.assert_close(mean_under(masks, level), torch.tensor([[[(1 * 1 + 0.25 * 5) / 1.25]]]))
    assert mean_under(torch.zeros_like(masks), level).item() == 0


def test_contrast_is_the_cross_entropy_against_other_clips_sounds_and_pictures() -> None:
    # unit vectors at angles, so that a cosine is that of the difference; frames of clips 0, 0, 1, 1
    seen, heard = (torch.tensor(angles) for angles in ([0.0, 0.3, 1.0, 1.2], [0.1, 0.2, 0.9, 2.0]))
    scaled = torch.tensor([[2.0], [0.5], [3.0], [1.0]])  # length says nothing
    queries, keys = ((scaled * torch.stack([each.cos(), each.sin()], dim=1)).view(2, 2, 2) for each in (seen, heard))
    has_mask = torch.tensor([[True, True], [True, False]])
    expected = []
    for own, others in ((0, [2]), (1, [2]), (2, [0, 1])):
        for left, right in ((seen, heard), (heard, seen)):
            logits = [math.cos(left[own] - right[each]) / 0.1 for each in (own, *others)]
            expected.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[0])
    loss = sound_contrast(queries, keys, has_mask)
    torch.testing.assert_close(loss, torch.tensor(sum(expected) / 6), rtol=1e-4, atol=1e-6)


def test_contrast_of_no_frame_is_0_and_of_one_clip_too() -> None:
    queries, keys = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4)
    loss = sound_contrast(queries, keys, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert sound_contrast(queries[:1], keys[:1], torch.ones(1, 3, dtype=torch.bool)) == 0
