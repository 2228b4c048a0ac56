"""Regularisers of separated sources: against splitting one sound into many sources, and against equal sources.

MixIT's loss does not depend on how many sources a sound is spread over, so models with many outputs over-separate.
Wisdom et al. 2021 (sparse, efficient MixIT, arXiv:2106.00847) add a sparsity and a covariance loss; here both are free
of the level, between 0 and a constant, and 0 with zero gradient for silence. They are added to the loss with small
weights.
"""

import torch
from torch import Tensor

from pipeline.losses.snr import SILENT_POWER, loss_dtype


def sparsity_loss(sources: Tensor) -> Tensor:
    """[B] L1 over L2 norm of the sources' RMS: 1 for one source alone, sqrt(S) for S equally loud ones.

    sum_s r_s / sqrt(sum_s r_s^2), r_s the RMS of source s. A source with mean square at most SILENT_POWER counts as 0
    and gets no gradient; an example of nothing else has 0.

    Args:
        sources: [B, S, T] linear amplitude at any level.
    Returns:
        [B], fp32 (float64 for float64 sources), also under autocast.
    """
    with torch.autocast(sources.device.type, enabled=False):
        power = sources.to(loss_dtype(sources)).square().mean(dim=-1)
        silent = power <= SILENT_POWER  # replaced before the root, whose gradient at 0 is infinite
        total = torch.where(silent.all(dim=1), 1.0, torch.where(silent, 0.0, power).sum(dim=1))
        return torch.where(silent, 0.0, torch.where(silent, 1.0, power).sqrt()).sum(dim=1) / total.sqrt()


def covariance_loss(sources: Tensor) -> Tensor:
    """[B] share of shared energy among the sources: 0 for orthogonal ones, (S - 1) / S for S equal ones.

    sum_{s != t} G_st^2 / (sum_s G_ss)^2 with G_st the inner product of sources s and t over time. Relative to all
    energy and not to that of the pair: of two faint sources it does not matter how alike they are. The mean over time
    is not subtracted. An example whose sources have a mean square of at most SILENT_POWER together has 0.

    Args:
        sources: [B, S, T] linear amplitude at any level.
    Returns:
        [B], fp32 (float64 for float64 sources), also under autocast.
    """
    with torch.autocast(sources.device.type, enabled=False):
        exact = sources.to(loss_dtype(sources))
        products = exact @ exact.mT / exact.shape[-1]
        power = products.diagonal(dim1=1, dim2=2)
        total = power.sum(dim=1)
        silent = total <= SILENT_POWER
        # scaled before they are squared: fp32 resolves no square of a power below -230 dB
        products = products / torch.where(silent, 1.0, total)[:, None, None]
        shared = products.square().sum(dim=(1, 2)) - products.diagonal(dim1=1, dim2=2).square().sum(dim=1)
        return torch.where(silent, 0.0, shared)
