"""Mixture invariant training: how well estimated sources can be given back to the mixtures that were added up.

In: the N mixtures, N >= 2, and the S estimates made from their sum. Out: a loss in dB per example, and the assignment,
a binary matrix A with one 1 per column, that reached it. With e_m = |x_m - (A s)_m|^2 the loss is

    L(x, s) = min_A  sum over m = 1 .. N of  10 log10(e_m + tau |x_m|^2) - 10 log10 |x_m|^2,      tau = 10^(-30/10)

after Wisdom et al. 2020 (MixIT, arXiv:2006.12701), and Tzinis et al. 2021 (AudioScope, arXiv:2011.01143), who sum over
the mixtures. The last term does not depend on the estimates, and AudioScope leaves it out; it makes values comparable
between loud and quiet clips. A perfect separation has -30 N dB, silent estimates have +0.004 N dB.

Design note: assignments are compared through the inner products of the waveforms (`losses/assignment_search.py`), in
float64 and without a graph, and only the winner is evaluated on the waveforms. So no waveform is made per assignment,
the gradient is that of the exact minimum, and low precision cannot reach the value. Nothing assumes that the estimates
add up to the mixture.

A silent mixture contributes 0 dB and no gradient (`losses/snr.py`). Estimates that add up to the input still go to the
other mixture, since only all of them together make it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses.assignment_search import MAX_ASSIGNMENTS, enumerate_assignments, search_assignment
from pipeline.losses.snr import check_estimates, gram, loss_dtype, remix, snr_loss


def best_assignment(references: Tensor, estimates: Tensor, *, enumerate_up_to: int = MAX_ASSIGNMENTS) -> Tensor:
    """Assignment [B, N, S] with the lowest `assigned_loss` found, 0.0 or 1.0, one 1 per column, no gradient.

    Of all N^S assignments while these are at most `enumerate_up_to` (the loss is then the MixIT loss: Wisdom et al.
    2020, eq. (3), arXiv:2006.12701), else by local search from the least-squares assignment, which is no lower and
    nearly always equal. Ties (within TIE_DB) go to the lowest number: number i gives source s to the mixture that is
    digit s of i in base N, the lowest digit first. A silent source therefore goes to the first mixture, also in local
    search, where ties between moves go to the lowest source and then the first mixture.

    Args:
        references: [B, N, T] the mixtures that were added up, N >= 2, linear amplitude; any may be silent.
        estimates: [B, S, T] separated sources on the same scale, S >= 1.
        enumerate_up_to: most assignments compared one by one; 0 always searches.
    Raises:
        ValueError: shapes that do not fit.

    >>> tone, noise = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, 2.0, -1.0, 0.0])
    >>> references, estimates = torch.stack([tone, noise])[None], torch.stack([noise, tone])[None]
    >>> assignment = best_assignment(references, estimates)
    >>> round(assigned_loss(references, estimates, assignment).item(), 3), assignment[0].tolist()
    (-60.0, [[0.0, 1.0], [1.0, 0.0]])
    """
    _validate(references, estimates)
    num_mixtures, num_samples = references.shape[1:]
    is_enumerated = num_mixtures ** estimates.shape[1] <= enumerate_up_to
    find = enumerate_assignments if is_enumerated else search_assignment
    mixture = find(gram(references, estimates), num_mixtures, num_samples)
    return F.one_hot(mixture, num_mixtures).mT.to(loss_dtype(estimates))


def assigned_loss(references: Tensor, estimates: Tensor, assignment: Tensor) -> Tensor:
    """Loss [B] in dB of the estimates under a given assignment: the sum of the mixtures' `snr_loss`.

    For a single mixture (other references silent) pass `all_to_first(estimates)`: silent rows add 0 dB and no
    gradient, so the loss is that of the first mixture alone, at least -30 dB.

    Args:
        references: [B, N, T] the mixtures, N >= 2, linear amplitude; a silent one contributes nothing.
        estimates: [B, S, T] separated sources on the same scale.
        assignment: [B, N, S] the weight of each source in each mixture, usually 0.0 or 1.0; it gets no gradient.
    Returns:
        [B] in dB, fp32 (float64 for float64 estimates), also under autocast.
    Raises:
        ValueError: shapes that do not fit.
    """
    _validate(references, estimates)
    expected = (*references.shape[:2], estimates.shape[1])
    if assignment.shape != expected:
        raise ValueError(f"assignment {list(assignment.shape)}: expected {list(expected)}, one row per mixture.")
    with torch.autocast(estimates.device.type, enabled=False):
        dtype = loss_dtype(estimates)
        return snr_loss(references, remix(assignment.to(dtype), estimates.to(dtype))).sum(dim=1)


def all_to_first(estimates: Tensor, num_mixtures: int = 2) -> Tensor:
    """Assignment [B, N, S] that gives every source of estimates [B, S, T] to the first of N mixtures: A = [1; 0]."""
    first = torch.zeros(estimates.shape[:2], dtype=torch.int64, device=estimates.device)
    return F.one_hot(first, num_mixtures).mT.to(loss_dtype(estimates))


def _validate(references: Tensor, estimates: Tensor) -> None:
    """Refuse shapes whose meaning would have to be guessed."""
    if references.ndim != 3 or references.shape[1] < 2 or references.shape[2] == 0:
        raise ValueError(
            f"references {list(references.shape)}: expected [B, N, T], N >= 2, T >= 1. Sources are assigned to two "
            "mixtures or more; for a single mixture make the second one silent."
        )
    check_estimates(references, estimates)
    if estimates.shape[1] == 0:
        raise ValueError(f"estimates {list(estimates.shape)}: expected S >= 1 sources to assign.")
