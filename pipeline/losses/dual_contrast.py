"""Dual contrast of CN113239903: lips and speech of one moment, and of one clip, score higher than those of others.

In: unit embeddings of both modalities. Out: a loss in nats. Short scale: a frame's lips pick the sound of the same
0.2 s among other times of the clip and all times of other clips. Long scale: a clip's lips pick its sound among those
of other videos.

The patent names both scales and noise-contrastive estimation, and neither where the negatives are from nor the
temperature. Ours: the negatives are those of the batch, and the objective is InfoNCE, of which NCE is the other form
(`losses/nce.py`). Times nearer than NEAR_FRAMES are neither positive nor negative: their windows of 0.2 s overlap by
more than half.
"""

import torch
from torch import Tensor

from pipeline.losses.contrastive import matching_loss

NEAR_FRAMES = 3


def short_contrast(
    lips: Tensor, speech: Tensor, scale: Tensor, is_used: Tensor, *, near: int = NEAR_FRAMES, both: bool = True
) -> Tensor:
    """Mean InfoNCE [] over the frames that are used: -log(exp(w v_t a_t) / sum_n exp(w v_t a_n)).

    n runs over t itself, the times of the same clip at `near` frames or more from t, and every time of other clips,
    as far as they are used.

    Args:
        lips: [B, T, D] unit embeddings.
        speech: [B, T, D] of the same moments.
        scale: [] w, the inverse temperature.
        is_used: [B, T] False for frames that take part neither as a query nor as a negative.
        near: frames of the same clip nearer than this, but for t itself, are not compared.
        both: the mean of both directions; else lips pick sounds alone.
    Raises:
        ValueError: shapes that do not fit.
    """
    if lips.ndim != 3 or lips.shape != speech.shape or is_used.shape != lips.shape[:2]:
        raise ValueError(
            f"lips {list(lips.shape)}, speech {list(speech.shape)}, is_used {list(is_used.shape)}: expected [B, T, D] "
            "twice, and [B, T]."
        )
    clip, time = is_used.nonzero(as_tuple=True)
    if not len(clip):
        return (lips.sum() + speech.sum()) * 0.0
    with torch.autocast(lips.device.type, enabled=False):
        logits = scale * (lips[is_used].float() @ speech[is_used].float().T)
    distance = (time[:, None] - time).abs()
    is_near = (clip[:, None] == clip) & (distance > 0) & (distance < near)
    return matching_loss(logits, is_near, both=both).mean()


def long_contrast(lips: Tensor, speech: Tensor, scale: Tensor, videos: Tensor, *, both: bool = True) -> Tensor:
    """Mean InfoNCE [] over clips: -log(exp(w V_i A_i) / sum_j exp(w V_i A_j)), j over i and clips of other videos.

    Args:
        lips: [B, E] unit embeddings.
        speech: [B, E] of the same clips.
        scale: [] w, the inverse temperature.
        videos: [B] integers, equal for clips of one video.
        both: the mean of both directions; else lips pick sounds alone.
    """
    with torch.autocast(lips.device.type, enabled=False):
        logits = scale * (lips.float() @ speech.float().T)
    is_other_clip = (videos[:, None] == videos) & ~torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    return matching_loss(logits, is_other_clip, both=both).mean()
