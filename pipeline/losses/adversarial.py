"""Losses of the adversaries of CN113239903: is it one identity, which modality is it.

In: log odds. Out: a cross-entropy in nats, log 2 for whoever knows nothing. The encoders get its gradient reversed
(`models/adversaries.py`): they minimise the contrasts less lambda times these.

Pairs of the discriminator, which the patent does not name (ours): two segments of clips of one video are of one
identity, those of two videos of two. A video may show a person whom another shows too; such a pair counts as two.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_loss(log_odds: Tensor, videos: Tensor) -> Tensor:
    """Cross-entropy [] in nats of whether two segments are of one video; both answers weigh one half.

    Args:
        log_odds: [N, N] of each segment (row) with each (column): of one identity? Those with themselves do not count.
        videos: [N] integers, equal for segments of one video.
    Returns:
        The mean of -log D over pairs of one video and of -log(1 - D) over the others, halved; 0 for a kind of pair
        that the batch does not have.
    """
    is_same = videos[:, None] == videos
    is_itself = torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    log_odds = log_odds.float()
    same, other = F.softplus(-log_odds[is_same & ~is_itself]), F.softplus(log_odds[~is_same])
    return (_mean(same) + _mean(other)) / 2


def modality_loss(lips_log_odds: Tensor, speech_log_odds: Tensor) -> Tensor:
    """Cross-entropy [] in nats of lips or speech: the mean of -log C over lips and -log(1 - C) over speech, halved.

    Args:
        lips_log_odds: [...] log odds that embeddings of lips are of lips.
        speech_log_odds: [...] the same of embeddings of speech.
    """
    seen, heard = F.softplus(-lips_log_odds.float()), F.softplus(speech_log_odds.float())
    return (_mean(seen) + _mean(heard)) / 2


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else torch.zeros((), device=values.device)
