"""Losses of audio-visual segmentation: of masks, and of what is seen under a mask against what is heard.

In: logits of masks, and the network's maps and sounds of each frame. Out: a loss []. Zhou et al. 2022 (AVS, ECCV,
arXiv:2207.05042): binary cross-entropy, and the mapping loss L_AVM by which sound and masked picture should agree. All
are fp32 (float64 for float64 input), also under autocast.

Design note: the released mapping loss is a sum over all frames of the batch, so its weight grows with the batch; the
default here is the mean. Its decoder rectifies Z in place before the loss sees it, which `released` repeats and the
mean does not.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MappingForm = Literal["per_sample", "released"]
COSINE_EPSILON = 1e-6  # as released


def masked_bce(logits: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy [] in nats per pixel: the mean over clips of the mean over their frames that have a mask.

    A clip without any counts as 0. Where each frame has one it is the mean over all pixels, as published.

    Args:
        logits: [B, K, H, W].
        masks: [B, K, H, W] true or 1 where a pixel sounds.
        valid: [B, K] bool, whether that frame has a mask.
    """
    cost = frame_bce(logits, masks)
    return (cost.where(valid, 0.0).sum(dim=1) / valid.sum(dim=1).clamp_min(1)).mean()


def frame_bce(logits: Tensor, masks: Tensor) -> Tensor:
    """[B, K] binary cross-entropy of each frame in nats per pixel, for logits and masks [B, K, H, W]."""
    logits = _exact(logits)
    return F.binary_cross_entropy_with_logits(logits, masks.to(logits), reduction="none").mean(dim=(2, 3))


def mapping_loss(
    logits: Tensor, maps: Sequence[Tensor], sounds: Sequence[Tensor], form: MappingForm = "per_sample"
) -> Tensor:
    """KL(softmax(a) || softmax(v)) [] in nats of the sound a against the masked picture v; the mean over stages.

    v is the mean over places of sigma(pooled logits) Z: L_AVM as released, whose direction and pooling differ from eq.
    (3) of the paper. per_sample: the mean over the B K frames. released: their sum, with relu(Z) in place of Z.

    Args:
        logits: [B, K, H, W] of masks.
        maps: Z_i [B, K, C, h, w] of each stage.
        sounds: a_i [B, K, C] of each stage.
    Raises:
        ValueError: no stage.
    """
    is_released = form == "released"
    losses = []
    for seen, heard in _stages(logits, maps, sounds, rectify=is_released):
        divergence = _divergence(heard, seen)
        losses.append(divergence.sum() if is_released else divergence.mean())
    return torch.stack(losses).mean()


def visual_mapping_loss(
    logits: Tensor, maps: Sequence[Tensor], sounds: Sequence[Tensor], form: MappingForm = "per_sample"
) -> Tensor:
    """KL(softmax(v') || softmax(v)) [] in nats, v' the masked picture of the frame whose sound is nearest (L_AVM-VV).

    Nearest by Euclidean distance among all other frames of the batch, the clip's own included, as released. Arguments,
    forms and errors as of `mapping_loss`; there must be two frames or more.
    """
    is_released = form == "released"
    losses = []
    for seen, heard in _stages(logits, maps, sounds, rectify=is_released):
        with torch.autocast(heard.device.type, enabled=False):
            distance = torch.cdist(heard, heard)
        nearest = distance.detach().fill_diagonal_(torch.inf).argmin(dim=1)
        divergence = _divergence(seen[nearest], seen)
        losses.append(divergence.sum() if is_released else divergence.mean())
    return torch.stack(losses).mean()


def cosine_mapping_loss(logits: Tensor, maps: Sequence[Tensor], sounds: Sequence[Tensor]) -> Tensor:
    """-log(relu(cos(v, a)) + 1e-6) [] in nats, v the mean of Z where the mask's pooled probability is above 1/2.

    The unused variant of the released S4 loss, the mean over frames and stages. The threshold passes no gradient to the
    mask; a frame without such a place costs -log(1e-6). Arguments and errors as of `mapping_loss`.
    """
    losses = []
    for level, sound in _pairs(maps, sounds):
        mask = (_pooled(_exact(logits).sigmoid(), level) > 0.5).to(level)
        seen = (level * mask).sum(dim=(2, 3)) / (mask.sum(dim=(2, 3)) + COSINE_EPSILON)
        losses.append(-torch.log(torch.relu(F.cosine_similarity(seen, sound, dim=1)) + COSINE_EPSILON).mean())
    return torch.stack(losses).mean()


def sound_contrast(queries: Tensor, keys: Tensor, has_mask: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE [] in nats between what sounds in a frame and the frame's sound, both ways (ours).

    What is compared are the two sides of a TPAVI's attention, so that a place learns to answer to its own sound and to
    no other. Of a frame the others of its clip are neither positive nor negative: they mostly sound alike.

    Args:
        queries: [B, K, I] theta of the mean of what sounds in each frame.
        keys: [B, K, I] phi of the sound of each frame.
        has_mask: [B, K] whether it is known that something sounds; other frames are left out. None left: the loss is 0.
        temperature: of the cosine.
    """
    known = has_mask.flatten()
    seen, heard = (F.normalize(_exact(each).flatten(0, 1)[known], dim=1) for each in (queries, keys))
    clips = torch.arange(len(queries), device=queries.device).repeat_interleave(queries.shape[1])[known]
    own = torch.arange(len(clips), device=clips.device)
    is_left_out = (clips[:, None] == clips) & (own[:, None] != own)
    logits = (seen @ heard.T / temperature).masked_fill(is_left_out, -torch.inf)
    losses = [F.cross_entropy(each, own, reduction="sum") for each in (logits, logits.T)]
    return torch.stack(losses).sum() / (2 * max(1, len(clips)))


def mean_under(masks: Tensor, level: Tensor) -> Tensor:
    """[B, K, C] the mean of a map [B, K, C, h, w] over masks [B, K, H, W], by the share of each place; 0 of none."""
    share = _pooled(masks, level.flatten(0, 1))
    total = (_exact(level).flatten(0, 1) * share).sum(dim=(2, 3))
    return (total / share.sum(dim=(2, 3)).clamp_min(COSINE_EPSILON)).unflatten(0, level.shape[:2])


def _stages(
    logits: Tensor, maps: Sequence[Tensor], sounds: Sequence[Tensor], rectify: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each stage the masked picture and the sound of all frames, [B K, C] each."""
    for level, sound in _pairs(maps, sounds):
        seen = torch.relu(level) if rectify else level
        yield (_pooled(logits, level).sigmoid() * seen).mean(dim=(2, 3)), sound


def _pairs(maps: Sequence[Tensor], sounds: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Z_i as [B K, C, h, w] with a_i as [B K, C]."""
    if not maps:
        raise ValueError("no maps: expected a network with fusion, whose maps and sounds are compared.")
    for level, sound in zip(maps, sounds, strict=True):
        yield _exact(level).flatten(0, 1), _exact(sound).flatten(0, 1)


def _pooled(values: Tensor, level: Tensor) -> Tensor:
    """[B K, 1, h, w] the mean over each place of a map, of values [B, K, H, W]."""
    return F.adaptive_avg_pool2d(_exact(values).flatten(0, 1).unsqueeze(1), (level.shape[-2], level.shape[-1]))


def _divergence(target: Tensor, estimate: Tensor) -> Tensor:
    """[N] KL(softmax(target) || softmax(estimate)) of rows [N, C]."""
    target, estimate = target.log_softmax(dim=1), estimate.log_softmax(dim=1)
    return F.kl_div(estimate, target, reduction="none", log_target=True).sum(dim=1)


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
