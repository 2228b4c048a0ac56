"""Contrastive loss: pictures and sounds that happen together score higher than those of different videos.

In: the score of every picture with every sound of a batch as a logit, row i and column i from the same moment, and the
video each was cut from. Out: a loss in nats per row. The score is the model's (`logits` of `models/towers.py`);
what it is compared with is the objective: here the other rows of the batch, in `losses/nce.py` a memory of clips.

Design note: another moment of the same video is masked, neither a positive nor a negative. It looks and sounds alike,
so as a negative it would push apart what belongs together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(logits: Tensor, video_ids: Tensor) -> Tensor:
    """Symmetric InfoNCE loss [B] in nats: picks the own sound among the batch's sounds, and the own picture likewise.

    Mean of both directions of -log(exp s_ii / sum_j exp s_ij): van den Oord et al. 2018 (CPC, arXiv:1807.03748),
    eq. (4); both directions as Tian et al. 2020 (CMC, arXiv:1906.05849). j runs over i itself and the rows of other
    videos; a row without another video to compare with costs 0. Chance: log(1 + number of negatives). With the rows of
    all workers gathered, every one of them computes the same loss.

    Args:
        logits: [B, B] s of each picture (row) with each sound (column), the diagonal of those that belong together.
        video_ids: [B] integers, equal for rows of the same video.
    Returns:
        [B], at least 0, fp32 (float64 for float64 logits), also under autocast.
    Raises:
        ValueError: shapes that do not fit.

    >>> info_nce(torch.eye(3), torch.arange(3))  # log(1 + 2 / e)
    tensor([0.5514, 0.5514, 0.5514])
    """
    if logits.ndim != 2 or logits.shape != video_ids.shape * 2:
        raise ValueError(
            f"logits {list(logits.shape)}, video_ids {list(video_ids.shape)}: expected [B, B] and [B], one video for "
            "each matched pair."
        )
    pair = torch.arange(len(logits), device=logits.device)
    is_other_moment = (video_ids[:, None] == video_ids[None, :]) & (pair[:, None] != pair[None, :])
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).masked_fill(is_other_moment, -torch.inf)
        picks_audio = F.cross_entropy(logits, pair, reduction="none")
        picks_visual = F.cross_entropy(logits.T, pair, reduction="none")
        return (picks_audio + picks_visual) / 2
