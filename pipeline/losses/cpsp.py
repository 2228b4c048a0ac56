"""Losses of event localisation by contrastive positive sample propagation: of pairs, of segments, of clips, of tags.

In: segments [B, N, D] of clips as the propagation gives them, and which of them have an event, or each clip's category.
Out: a mean [] over those clips or anchors that the loss can compare, and exactly 0 where there are none. Zhou et al.
2021 (PSP, arXiv:2104.00239) and 2022 (CPSP, TPAMI). All are fp32 (float64 for float64 input), also under autocast.

Design note: two of them differ from the released code. Its PSA_S is a constant: it sums over the wrong one of two axes,
so each ratio is 1 or 0, whatever the features (shown in the test). Its PSA_V fills up missing negatives with a distance
of 10^12, which makes the loss 0 for the anchors of a frequent category. The weak loss that is the default is a
cross-entropy of log-probabilities; the released one, of a softmax taken for logits, is at least 0.68 for 28 categories.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.contrastive import own_column_loss

SHARE_EPSILON, TARGET_EPSILON = 1e-8, 1e-6  # as published
NO_CATEGORY = -1


def avpsp_loss(visual: Tensor, audio: Tensor, is_event: Tensor) -> Tensor:
    """Mean squared difference [] between each segment's share of the clip's agreement and of its events (L_avpsp).

    Agreement is S_t = relu(cos(v_t, a_t)), its share S_t / (sum S + 1e-8); the target is g_t / (sum g + 1e-6): PSP, eq.
    (8), (9). A mean over all clips and segments; a clip without an event has the target 0.

    Args:
        visual, audio: [B, N, D].
        is_event: [B, N] bool.
    """
    visual, audio = _exact(visual), _exact(audio)
    agreement = torch.relu(F.cosine_similarity(visual, audio, dim=2))
    share = agreement / (agreement.sum(dim=1, keepdim=True) + SHARE_EPSILON)
    target = is_event.to(share)
    target = target / (target.sum(dim=1, keepdim=True) + TARGET_EPSILON)
    return (share - target).square().mean()


def spsa_loss(fused: Tensor, is_event: Tensor, temperature: float = 0.6) -> Tensor:
    """Contrast [] in nats of a clip's segments with an event against those without (PSA_S).

    For each segment i with an event -log(P_i / (P_i + Q_i)), where P_i sums exp(cos(f_i, f_j) / temperature) over the
    segments j with an event, i too, and Q_i is its mean over those without. The mean over i, then over the clips with
    an event. A clip of events alone costs 0.

    Args:
        fused: [B, N, D].
        is_event: [B, N] bool.
    """
    unit = F.normalize(_exact(fused), dim=2)
    with torch.autocast(fused.device.type, enabled=False):
        weight = ((unit @ unit.mT - 1) / temperature).exp()  # less 1, which cancels: at most 1 at any temperature
    num_events = is_event.sum(dim=1)
    num_others = is_event.shape[1] - num_events
    positive = (weight * is_event.unsqueeze(1)).sum(dim=2)
    negative = (weight * ~is_event.unsqueeze(1)).sum(dim=2) / num_others.clamp_min(1).unsqueeze(1)
    cost = torch.log1p(negative / torch.where(is_event, positive, 1.0)) * is_event
    of_clip = cost.sum(dim=1) / num_events.clamp_min(1)
    return of_clip.sum() / (num_events > 0).sum().clamp_min(1)


def vpsa_loss(fused: Tensor, category: Tensor, margin: float, num_negatives: int) -> Tensor:
    """Hinge [] between each clip's farthest clip of its category and the nearest ones of others (PSA_V).

    max(0, d_far - d_near + margin) with Euclidean distances of F = mean_t f_t / |f_t|: d_far to the farthest of the
    same category, itself included, and d_near the mean over the `num_negatives` nearest of other categories, or over
    those that there are. The mean over clips that have a category and a clip of another one; clips without a category
    are negatives of all others.

    Args:
        fused: [B, N, D].
        category: [B] numbers, NO_CATEGORY for a clip without.
        margin: distance by which other categories should be farther.
    """
    clips = F.normalize(_exact(fused), dim=2).mean(dim=1)
    with torch.autocast(fused.device.type, enabled=False):
        distance = torch.cdist(clips, clips, compute_mode="donot_use_mm_for_euclid_dist")
    is_same = category.unsqueeze(1) == category.unsqueeze(0)
    farthest = distance.masked_fill(~is_same, 0.0).amax(dim=1)
    count = (~is_same).sum(dim=1).clamp_max(num_negatives)
    nearest, _ = distance.masked_fill(is_same, torch.inf).sort(dim=1)
    is_taken = torch.arange(nearest.shape[1], device=count.device) < count.unsqueeze(1)
    nearest_mean = nearest.where(is_taken, 0.0).sum(dim=1) / count.clamp_min(1)
    is_anchor = (category != NO_CATEGORY) & (count > 0)
    cost = torch.relu(farthest - nearest_mean + margin) * is_anchor
    return cost.sum() / is_anchor.sum().clamp_min(1)


def sspsp_loss(visual: Tensor, audio: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast [] in nats without labels (SSPSP): each sound picks its own picture among all segments of the batch.

    The mean over i of -log(exp(cos(a_i, v_i) / temperature) / sum_j exp(cos(a_i, v_j) / temperature)), from sound to
    picture alone and with the other segments of the same clip among the negatives, as published. Chance: log(B N).

    Args:
        visual, audio: [B, N, D].
    """
    visual, audio = (F.normalize(_exact(rows), dim=2).flatten(0, 1) for rows in (visual, audio))
    with torch.autocast(visual.device.type, enabled=False):
        return own_column_loss(audio @ visual.T / temperature).mean()


def tag_loss(logits: Tensor, tag: Tensor) -> Tensor:
    """Cross-entropy [] in nats of each clip's tag, the mean over the clips that have one.

    Args:
        logits: [B, K] of clips.
        tag: [B] category numbers, NO_CATEGORY for a clip without.
    """
    return _mean_where(F.cross_entropy(_exact(logits), tag.clamp_min(0), reduction="none"), tag != NO_CATEGORY)


def released_tag_loss(logits: Tensor, tag: Tensor) -> Tensor:
    """The weak loss of CPSP as released []: a multi-label soft margin whose logits are already a softmax.

    The mean over K of -y log sigma(p) - (1 - y) log sigma(-p), p = softmax(logits), y the tag as one of K. Arguments as
    of `tag_loss`.
    """
    probability = _exact(logits).softmax(dim=1)
    target = F.one_hot(tag.clamp_min(0), logits.shape[1]).to(probability)
    cost = F.binary_cross_entropy_with_logits(probability, target, reduction="none").mean(dim=1)
    return _mean_where(cost, tag != NO_CATEGORY)


def released_joint_tag_loss(logits: Tensor, tag: Tensor) -> Tensor:
    """The weak loss of PSP as released []: binary cross-entropy of softmax(logits), the mean over K.

    Arguments as of `tag_loss`. PSP's target are the shares of segments, which say more than a tag; here it is the tag.
    """
    probability = _exact(logits).softmax(dim=1)
    target = F.one_hot(tag.clamp_min(0), logits.shape[1]).to(probability)
    with torch.autocast(logits.device.type, enabled=False):
        cost = F.binary_cross_entropy(probability, target, reduction="none").mean(dim=1)
    return _mean_where(cost, tag != NO_CATEGORY)


def _mean_where(costs: Tensor, counts: Tensor) -> Tensor:
    """Mean of costs [B] over those that count [B]; 0 where none does."""
    return costs.where(counts, 0.0).sum() / counts.sum().clamp_min(1)


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
