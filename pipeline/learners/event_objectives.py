"""What the events learner minimises, by how much is said of the clips: every segment's category, a tag, or nothing.

In: segments of the propagation, labels and tags, of the rows of all workers. Out: the loss and its parts, unweighted.
The weights are those of CPSP.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from pipeline.config import Count, Positive, config_dataclass
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
from pipeline.metrics.segments import MIN_PROBABILITY
from pipeline.models.psp import JointHead, Segments, SeparateHead

Head = SeparateHead | JointHead
Supervision = Literal["full", "weak", "self"]
BACKGROUND, UNKNOWN = -1, -2  # labels of segments: without an event, and with one of a category that training has not
MARGINS = {"full": 0.2, "weak": 0.6}
NUM_NEGATIVES = {"full": 3, "weak": 4}


@config_dataclass
class EventLossConfig:
    """What is minimised beside the cross-entropy of events and categories; a weight of 0 leaves a loss out."""

    pair_weight: NonNegativeFloat = 100.0
    """Of L_avpsp: picture and sound should agree where there is an event. With full labels."""
    segment_weight: NonNegativeFloat = 0.01
    """Of PSA_S: segments with an event should differ from those without. With full labels."""
    segment_temperature: Positive = 0.6
    """Of PSA_S: lower looks at the most similar segments alone."""
    clip_weight: NonNegativeFloat = 1.0
    """Of PSA_V: clips of one category should be nearer to each other than to others. With full and with weak labels."""
    clip_margin: Positive | None = None
    """Of PSA_V: distance by which they should be nearer. none: 0.2 with full labels, 0.6 with weak ones."""
    clip_negatives: Count | None = None
    """Of PSA_V: clips of other categories that count, the nearest. none: 3 with full labels, 4 with weak ones."""
    weak_form: Literal["log_probability", "released"] = "log_probability"
    """log_probability: cross-entropy of the clip's tag. released: of a softmax taken for logits, as published."""
    self_temperature: Positive = 0.1
    """Of SSPSP: lower looks at the most similar segments alone."""


def self_losses(segments: Segments, config: EventLossConfig) -> dict[str, Tensor]:
    """`loss`, which is `sspsp` alone."""
    loss = sspsp_loss(segments.visual, segments.audio, config.self_temperature)
    return {"loss": loss, "sspsp": loss}


def full_losses(
    head: Head, segments: Segments, labels: Tensor, tag: Tensor, config: EventLossConfig
) -> dict[str, Tensor]:
    """`loss` and its parts: `event` and `category`, or `joint`; and of the weighted ones those that have a weight.

    Args:
        labels: [B, N] category numbers, BACKGROUND or UNKNOWN.
        tag: [B] category numbers or NO_CATEGORY; that of a clip without an event does not count.
    """
    is_event = labels != BACKGROUND
    tag = tag.where(is_event.any(dim=1), NO_CATEGORY)
    if isinstance(head, SeparateHead):
        event, category = head(segments.fused)
        of_events = F.binary_cross_entropy_with_logits(event, is_event.to(event))
        parts = {"event": of_events, "category": tag_loss(category, tag)}
    else:
        scores = head(segments.fused)
        target = labels.where(is_event, scores.shape[2] - 1).where(labels != UNKNOWN, NO_CATEGORY)
        parts = {"joint": tag_loss(scores.flatten(0, 1), target.flatten())}
    weighted = {}
    if config.pair_weight:
        weighted["avpsp"] = config.pair_weight, avpsp_loss(segments.visual, segments.audio, is_event)
    if config.segment_weight:
        weighted["spsa"] = config.segment_weight, spsa_loss(segments.fused, is_event, config.segment_temperature)
    return _total(parts, weighted | _of_clips(segments, tag, config, "full"))


def weak_losses(head: Head, segments: Segments, tag: Tensor, config: EventLossConfig) -> dict[str, Tensor]:
    """`loss` and its parts: `tag`, `empty` and, if it has a weight, `vpsa`.

    Of a clip without a tag, a joint head learns that it is background, a separate one (`empty`) that not even its
    likeliest segment has an event. That is ours: each published clip has one, and the released form leaves it out.

    Args:
        tag: [B] category numbers or NO_CATEGORY.
    """
    is_released = config.weak_form == "released"
    if isinstance(head, JointHead):
        pooled = head.pooled(segments.fused)
        target = tag.where(tag != NO_CATEGORY, pooled.shape[1] - 1)
        parts = {"tag": released_joint_tag_loss(pooled, target) if is_released else tag_loss(pooled, target)}
    else:
        pooled, likeliest = head.pooled(segments.fused)
        parts = {"tag": released_tag_loss(pooled, tag) if is_released else tag_loss(pooled, tag)}
        if not is_released:
            is_empty = tag == NO_CATEGORY
            parts["empty"] = F.softplus(likeliest).where(is_empty, 0.0).sum() / is_empty.sum().clamp_min(1)
    return _total(parts, _of_clips(segments, tag, config, "weak"))


def decide(event: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
    """Category [B, N] of each segment, BACKGROUND where there is no event; and the likeliest one whatever of events.

    Args:
        event: [B, N] probability of an event.
        category: [B, N, K] of each category.
    """
    likeliest = category.argmax(dim=2)
    return likeliest.where(event > MIN_PROBABILITY, BACKGROUND), likeliest


def _of_clips(
    segments: Segments, tag: Tensor, config: EventLossConfig, supervision: Supervision
) -> dict[str, tuple[float, Tensor]]:
    """PSA_V with its weight, if it has one."""
    if not config.clip_weight:
        return {}
    margin = config.clip_margin or MARGINS[supervision]
    num_negatives = config.clip_negatives or NUM_NEGATIVES[supervision]
    return {"vpsa": (config.clip_weight, vpsa_loss(segments.fused, tag, margin, num_negatives))}


def _total(parts: dict[str, Tensor], weighted: dict[str, tuple[float, Tensor]]) -> dict[str, Tensor]:
    total = torch.stack([*parts.values(), *(weight * value for weight, value in weighted.values())]).sum()
    return {"loss": total} | parts | {name: value for name, (_, value) in weighted.items()}
