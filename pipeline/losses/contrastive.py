"""Contrastive loss: pictures and sounds that happen together score higher than those of different videos.

In: the score of every picture with every sound of a batch as a logit, row i and column i from the same moment, and the
video each was cut from. Out: a loss in nats per row. The score is the model's (`logits` of `models/towers.py`);
what it is compared with is the objective: here the other rows of the batch, in `losses/nce.py` a memory of clips, in
`losses/dual_contrast.py` other times of the same clip too. All of them but NCE are `matching_loss`, logits and a mask.

Design note: another moment of the same video is masked, neither a positive nor a negative. It looks and sounds alike,
so as a negative it would push apart what belongs together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(logits: Tensor, video_ids: Tensor) -> Tensor:
    """Symmetric InfoNCE loss [B] in nats: picks each picture's sound among the batch's sounds, and the reverse.

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
    return matching_loss(logits, is_other_moment)


def information_bound(losses: Tensor, num_negatives: Tensor) -> Tensor:
    """[] lower bound in nats on the mutual information of picture and sound, log k - L: the mean over rows.

    I(v; a) >= log k - L, where L is the expected loss of picking the right sound beside k others (van den Oord et al.
    2018; US11335096B2). It cannot exceed log k, whatever the clips have in common.

    Args:
        losses: [B] of `info_nce`, or of picking the right one out of other noise.
        num_negatives: [B] k, what the row's own one was compared with; a row with none counts as 0.

    >>> information_bound(torch.zeros(2), torch.tensor([8, 0]))  # (log 8 + 0) / 2
    tensor(1.0397)
    """
    return (num_negatives.clamp_min(1).to(losses).log() - losses.detach()).mean()


def matching_loss(logits: Tensor, ignored: Tensor | None = None, *, both: bool = True) -> Tensor:
    """Loss [B] in nats of choosing, for each row, the column of its own number: `own_column_loss`.

    With `both`, the mean of that and of each column's choice of its row. Arguments and precision as of
    `own_column_loss`; `ignored` is symmetric.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # gradients of both directions add up in it
    rows = own_column_loss(logits, ignored)
    return (rows + own_column_loss(logits.T, ignored)) / 2 if both else rows


def own_column_loss(logits: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Loss [B] in nats of each row's choice of the column of its own number: -log(exp s_ii / sum_j exp s_ij).

    Args:
        logits: [B, B].
        ignored: [B, B] True for columns j that a row is not compared with; None compares with all. Never its own.
    Returns:
        [B], at least 0, fp32 (float64 for float64 logits), also under autocast.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if ignored is not None:
            logits = logits.masked_fill(ignored, -torch.inf)
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")


def source_info_nce(logits: Tensor, own: Tensor, weights: Tensor) -> Tensor:
    """InfoNCE [] in nats between separated sources and videos, of which a video may own several sources (ours).

    The mean of two directions, each a mean over sources by their weights. A source picks its video among all; a video
    picks each of its sources among that one and the sources of other videos, which count by their weights.

    Args:
        logits: [N, V] of each source with each video.
        own: [N] number of the source's video, or -1 for a source that belongs to none: it is a negative only.
        weights: [N] 0 or more; those of one video's sources should sum to 1, and so should those of no video's.
    Raises:
        ValueError: shapes that do not fit.

    >>> source_info_nce(torch.eye(2), torch.arange(2), torch.ones(2))  # as info_nce: log(1 + 1 / e)
    tensor(0.3133)
    """
    if logits.ndim != 2 or not own.shape == weights.shape == logits.shape[:1]:
        raise ValueError(
            f"logits {list(logits.shape)}, own {list(own.shape)}, weights {list(weights.shape)}: expected [N, V], [N] "
            "and [N], one video and one weight for each source."
        )
    is_owned = own >= 0
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        place = own.clamp(min=0)
        positive = logits.gather(1, place[:, None]).squeeze(1)
        picks_video = torch.logsumexp(logits, dim=1) - positive
        of_others = (own[:, None] != own[None, :]) & (weights > 0)  # [row, other source]
        rivals = logits.T[place] + weights.clamp(min=torch.finfo(logits.dtype).tiny).log()  # [row, other source]
        against = torch.logsumexp(rivals.masked_fill(~of_others, -torch.inf), dim=1)
        picks_source = F.softplus(against - positive)
        total = (weights * is_owned).sum().clamp(min=torch.finfo(logits.dtype).tiny)
        return ((picks_video + picks_source) / 2 * weights * is_owned).sum() / total
