"""Contrastive loss: pictures and sounds that happen together get closer embeddings than those of different videos.

In: visual and audio embeddings, row i of each from the same moment, and the video each row was cut from. Out: a loss in
nats per row. `pair_logits` is the score over a temperature; what the scores are compared with is the objective
(`info_nce`: the other rows of the batch; `losses/nce.py`: a memory of all clips).

The decision to question is the mask: another moment of the same video is neither a positive nor a negative. It looks
and sounds alike, so as a negative it would push apart what belongs together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_NORM = 1e-6
"""Embeddings shorter than this are not stretched to unit length: bounds the gradient of an embedding near 0."""


def pair_logits(visual: Tensor, audio: Tensor, temperature: float | Tensor) -> Tensor:
    """Cosine similarity over temperature [B, B'] of each visual with each audio embedding, within +-1/temperature.

    Args:
        visual: [B, D] embeddings of any length.
        audio: [B', D] embeddings of any length; B' = B within a batch, more with a memory of earlier batches.
        temperature: positive; 0.07 in CMC (arXiv:1906.05849). A tensor [], not checked, where it is learned.
    Returns:
        [B, B'] fp32 (float64 for float64 embeddings), also under autocast; an embedding of zeros has similarity 0.
    Raises:
        ValueError: shapes that do not fit, or a temperature that is not positive.
    """
    if visual.ndim != 2 or audio.ndim != 2 or visual.shape[1] != audio.shape[1]:
        raise ValueError(
            f"visual {list(visual.shape)} and audio {list(audio.shape)}: expected [B, D] and [B', D] with the same D."
        )
    if not isinstance(temperature, Tensor) and temperature <= 0:  # reading a tensor here would stall the GPU
        raise ValueError(f"temperature = {temperature}: expected a positive number, for example 0.07.")
    with torch.autocast(visual.device.type, enabled=False):
        precision = torch.promote_types(torch.promote_types(visual.dtype, audio.dtype), torch.float32)
        unit_visual = F.normalize(visual.to(precision), dim=-1, eps=MIN_NORM)
        unit_audio = F.normalize(audio.to(precision), dim=-1, eps=MIN_NORM)
        return unit_visual @ unit_audio.T / temperature


def info_nce(visual: Tensor, audio: Tensor, temperature: float | Tensor, video_ids: Tensor) -> Tensor:
    """Symmetric InfoNCE loss [B] in nats: picks the own sound among the batch's sounds, and the own picture likewise.

    Mean of both directions of -log(exp s_ii / sum_j exp s_ij), with s = `pair_logits`: van den Oord et al. 2018 (CPC,
    arXiv:1807.03748), eq. (4); both directions as Tian et al. 2020 (CMC, arXiv:1906.05849). j runs over i itself and
    the rows of other videos; a row without another video to compare with costs 0. Chance: log(1 + number of negatives).

    Args:
        visual: [B, D] embeddings of the pictures.
        audio: [B, D] embeddings of the sounds, row i from the same moment as visual row i.
        temperature: positive; smaller weights the hardest negatives more.
        video_ids: [B] integers, equal for rows of the same video.
    Returns:
        [B], at least 0, fp32 (float64 for float64 embeddings), also under autocast.
    Raises:
        ValueError: shapes that do not fit, or a temperature that is not positive.

    >>> unit = torch.eye(3)
    >>> info_nce(unit, unit, 1.0, torch.arange(3))  # log(1 + 2 / e)
    tensor([0.5514, 0.5514, 0.5514])
    """
    if visual.shape != audio.shape or video_ids.shape != visual.shape[:1]:
        raise ValueError(
            f"visual {list(visual.shape)}, audio {list(audio.shape)}, video_ids {list(video_ids.shape)}: "
            "expected [B, D], [B, D] and [B], one video for each matched pair."
        )
    return info_nce_of(pair_logits(visual, audio, temperature), video_ids)


def info_nce_of(logits: Tensor, video_ids: Tensor) -> Tensor:
    """The loss [B] of `info_nce` from logits [B, B] of every picture with every sound, whatever the score.

    With the batch of all workers, every one of them computes the same loss from the same gathered rows.
    """
    pair = torch.arange(len(logits), device=logits.device)
    same_video = video_ids[:, None] == video_ids[None, :]
    logits = logits.masked_fill(same_video & (pair[:, None] != pair[None, :]), -torch.inf)
    picks_audio = F.cross_entropy(logits, pair, reduction="none")
    picks_visual = F.cross_entropy(logits.T, pair, reduction="none")
    return (picks_audio + picks_visual) / 2
