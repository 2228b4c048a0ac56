"""Permutation-invariant loss: how well estimated sources match known ones, in whichever order.

In: R known sources, some of them silent, and S >= R estimates. Out: a loss in dB per example, and the matching that
reached it. For supervised examples, such as FUSS, beside MixIT's unsupervised ones: both losses have a value per
example on the same scale, so one batch holds both,

    torch.where(is_supervised, matched_loss(known, estimates, best_matching(known, estimates)),
                assigned_loss(mixtures, estimates, best_assignment(mixtures, estimates))).

An estimate that is matched has `snr_loss` against its source; every other one, also where its source is silent,
should be silent: its term is 10 log10(|y|^2 + |x|^2 / 100) - 10 log10 |x|^2 with x the sum of the known sources (the
zero-reference loss of FUSS: Wisdom et al. 2021, arXiv:2011.00803, without the last term, which makes values free of the
level). It stops at -20 dB, 20 dB below the mixture. An absolute floor would reward silence without end.

Design note: unlike MixIT's, this loss is a sum over pairs, so the best matching is an assignment problem (Hungarian
method). Its costs come from inner products in float64, without a graph.
"""

import torch
from torch import Tensor

from pipeline.losses.snr import SILENT_POWER, check_estimates, gram, loss_db, loss_dtype, remix, snr_loss

ZERO_REFERENCE_THRESHOLD = 1e-2
"""An estimate that should be silent stops improving the loss 20 dB below the mixture: as in FUSS' baseline."""


def best_matching(references: Tensor, estimates: Tensor) -> Tensor:
    """Matching [B, R, S] with the lowest `matched_loss`, 0.0 or 1.0, no gradient.

    One 1 in the row of every reference that is not silent, none in the row of a silent one, at most one 1 per column.
    Of equal matchings the solver's choice is returned, which is the same for the same input.

    Args:
        references: [B, R, T] known sources, linear amplitude; any may be silent.
        estimates: [B, S, T] separated sources on the same scale, S >= R >= 1.
    Raises:
        ValueError: shapes that do not fit.
    """
    from scipy.optimize import linear_sum_assignment  # takes 0.4 s: only learning from sounds needs it

    _validate(references, estimates)
    num_references, num_samples = references.shape[1:]
    products = gram(references, estimates)
    energies = products.diagonal(dim1=1, dim2=2)
    known, power = energies[:, :num_references, None], energies[:, None, num_references:]
    error = (known - 2 * products[:, :num_references, num_references:] + power).clamp(min=0)
    mixture = products[:, :num_references, :num_references].sum(dim=(1, 2))
    unmatched = _zero_reference_db(power, mixture[:, None, None], num_samples)
    silent = known <= SILENT_POWER * num_samples
    cost = torch.where(silent, 0.0, loss_db(error, known, num_samples) - unmatched)
    matching = torch.zeros_like(cost)
    for example, costs in enumerate(cost.nan_to_num().cpu().numpy()):  # NaN goes on to the loss, which reports it
        rows, columns = linear_sum_assignment(costs)
        matching[example, rows, columns] = 1.0
    return torch.where(silent, 0.0, matching).to(loss_dtype(estimates))


def matched_loss(references: Tensor, estimates: Tensor, matching: Tensor) -> Tensor:
    """Loss [B] in dB of the estimates under a given matching, summed over the S estimates.

    At least -30 for each reference that is not silent, and -20 for each estimate without one. Where all references are
    silent it is 0 and sends no gradient.

    Args:
        references: [B, R, T] known sources, linear amplitude; any may be silent.
        estimates: [B, S, T] separated sources on the same scale, S >= R >= 1.
        matching: [B, R, S] the estimate of each reference, as `best_matching` returns it.
    Returns:
        [B] in dB, fp32 (float64 for float64 estimates), also under autocast.
    Raises:
        ValueError: shapes that do not fit.
    """
    _validate(references, estimates)
    expected = (*references.shape[:2], estimates.shape[1])
    if matching.shape != expected:
        raise ValueError(f"matching {list(matching.shape)}: expected {list(expected)}, one row per reference.")
    with torch.autocast(estimates.device.type, enabled=False):
        dtype = loss_dtype(estimates)
        references, estimates, matching = references.to(dtype), estimates.to(dtype), matching.to(dtype)
        matched = snr_loss(references, remix(matching, estimates)).sum(dim=1)
        mixture = references.sum(dim=1).square().sum(dim=-1, keepdim=True)
        unmatched = _zero_reference_db(estimates.square().sum(dim=-1), mixture, references.shape[-1])
        return matched + torch.where(matching.any(dim=1), 0.0, unmatched).sum(dim=1)


def _zero_reference_db(energy: Tensor, mixture_energy: Tensor, num_samples: int) -> Tensor:
    """Loss in dB, at least -20, of estimates that should be silent; 0 and without gradient where the mixture is."""
    return loss_db(energy, mixture_energy, num_samples, ZERO_REFERENCE_THRESHOLD)


def _validate(references: Tensor, estimates: Tensor) -> None:
    """Refuse shapes whose meaning would have to be guessed."""
    if references.ndim != 3 or 0 in references.shape[1:]:
        raise ValueError(f"references {list(references.shape)}: expected [B, R, T] known sources, R >= 1, T >= 1.")
    check_estimates(references, estimates)
    if estimates.shape[1] < references.shape[1]:
        raise ValueError(
            f"{references.shape[1]} references, {estimates.shape[1]} estimates: expected an estimate for each "
            "reference. Separate into more sources, or add up references."
        )
