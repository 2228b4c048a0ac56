"""Mixture invariant training: how well estimated sources can be given back to the two mixtures that were added up.

In: the two mixtures and the S estimates made from their sum. Out: a loss in dB per example, and the assignment, a
binary matrix A with one 1 per column, that reached it. With e_m = |x_m - (A s)_m|^2 the loss is

    L(x, s) = min_A  sum over m = 1, 2 of  10 log10(e_m + tau |x_m|^2) - 10 log10 |x_m|^2,      tau = 10^(-30/10)

after Wisdom et al. 2020 (MixIT, arXiv:2006.12701), and Tzinis et al. 2021 (AudioScope, arXiv:2011.01143), who sum over
the mixtures. The last term does not depend on the estimates, and AudioScope leaves it out; it makes values comparable
between loud and quiet clips. A perfect separation has -60 dB, silent estimates have +0.009 dB.

Design note: all 2^S assignments are compared through the inner products of the waveforms, in
float64 and without a graph, and only the winner is evaluated on the waveforms. So no waveform is made per assignment,
the gradient is that of the exact minimum, and low precision cannot reach the value: at tau = 1e-3 a bfloat16 Gram
matrix is off by several dB. Nothing assumes that the estimates add up to the mixture.

A silent mixture (mean square at most SILENT_POWER) has no say: its term is 0 dB under every assignment and
sends no gradient. A small floor in its place would reward silence down to that floor and divide by it in the gradient.
Estimates that add up to the input still go to the other mixture, since only all of them together make it.
"""

import torch
from torch import Tensor

MAX_SOURCES = 16
"""65 536 assignments, 134 MB of products: each source more doubles both; models separate 4 to 8."""
SNR_THRESHOLD = 1e-3
"""tau: past 30 dB a mixture stops improving the loss, so easy examples do not drown hard ones."""
SILENT_POWER = 1e-12
"""Mean square, -120 dB of full scale: the rounding noise of 16-bit sound (-101 dB) still lies 19 dB above it."""
TIE_DB = 1e-6
"""Assignments this close count as equal, so that rounding (below 1e-8 dB) never chooses between silent sources."""
GRAM_CHUNK = 65_536
"""Samples converted to float64 at a time: bounds the copy to 84 MB for 16 examples of 8 sources."""


def best_assignment(references: Tensor, estimates: Tensor) -> Tensor:
    """Assignment [B, 2, S] with the lowest `assigned_loss` among all 2^S, 0.0 or 1.0, one 1 per column, no gradient.

    The loss of the assignment is the MixIT loss: Wisdom et al. 2020, eq. (3), arXiv:2006.12701.
    Ties (within TIE_DB) go to the lowest number: number i gives source s to the second mixture where bit s of i is set.
    A silent source therefore goes to the first mixture.

    Args:
        references: [B, 2, T] the mixtures that were added up, linear amplitude; either may be silent.
        estimates: [B, S, T] separated sources on the same scale, 1 <= S <= MAX_SOURCES.
    Raises:
        ValueError: shapes that do not fit, or more than MAX_SOURCES sources.

    >>> tone, noise = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([1.0, 2.0, -1.0, 0.0])
    >>> references, estimates = torch.stack([tone, noise])[None], torch.stack([noise, tone])[None]
    >>> assignment = best_assignment(references, estimates)
    >>> round(assigned_loss(references, estimates, assignment).item(), 3), assignment[0].tolist()
    (-60.0, [[0.0, 1.0], [1.0, 0.0]])
    """
    _validate(references, estimates)
    num_sources, num_samples = estimates.shape[1:]
    with torch.no_grad(), torch.autocast(estimates.device.type, enabled=False):
        numbers = torch.arange(2**num_sources, device=estimates.device)[:, None]
        bits = (numbers >> torch.arange(num_sources, device=estimates.device)) & 1
        candidates = torch.stack([1 - bits, bits]).double()  # [2, 2^S, S]
        gram = _gram(torch.cat([references, estimates], dim=1))
        total = torch.zeros((), dtype=torch.float64, device=estimates.device)
        for mixture, rows in enumerate(candidates):
            energy = gram[:, mixture, mixture, None]
            pairs = (rows[:, :, None] * rows[:, None, :]).flatten(1)
            # |x - a s|^2 = |x|^2 - 2 a c + a G a, with c the products of the mixture with the sources
            error = energy - 2 * gram[:, mixture, 2:] @ rows.T + gram[:, 2:, 2:].flatten(1) @ pairs.T
            total = total + _loss_db(error.clamp(min=0), energy, num_samples)
        winner = (total <= total.amin(dim=1, keepdim=True) + TIE_DB).int().argmax(dim=1)  # argmax returns the first
        return candidates[:, winner].transpose(0, 1).to(_precision(estimates))


def assigned_loss(references: Tensor, estimates: Tensor, assignment: Tensor) -> Tensor:
    """Loss [B] in dB of the estimates under a given assignment: the summed `snr_loss` of both mixtures.

    For a single mixture (second reference silent) pass `all_to_first(estimates)`: its silent row adds 0 dB and no
    gradient, so the loss is that of the first mixture alone, at least -30 dB.

    Args:
        references: [B, 2, T] the mixtures, linear amplitude; a silent one contributes nothing.
        estimates: [B, S, T] separated sources on the same scale.
        assignment: [B, 2, S] the weight of each source in each mixture, usually 0.0 or 1.0.
    Returns:
        [B] in dB, fp32 (float64 for float64 estimates), also under autocast.
    Raises:
        ValueError: shapes that do not fit.
    """
    _validate(references, estimates)
    expected = (estimates.shape[0], 2, estimates.shape[1])
    if assignment.shape != expected:
        raise ValueError(f"assignment {list(assignment.shape)}: expected {list(expected)}, one row per mixture.")
    with torch.autocast(estimates.device.type, enabled=False):
        precision = _precision(estimates)
        weights, sources = assignment.to(precision)[..., None], estimates.to(precision)
        # Products and sums instead of a matrix product: TF32 would round the sources to 1e-3, which is tau.
        remixed = torch.stack([(weights[:, mixture] * sources).sum(dim=1) for mixture in (0, 1)], dim=1)
        return snr_loss(references, remixed).sum(dim=1)


def all_to_first(estimates: Tensor) -> Tensor:
    """Assignment [B, 2, S] that gives every source of estimates [B, S, T] to the first mixture: A = [1; 0]."""
    rows = torch.tensor([[1.0], [0.0]], dtype=_precision(estimates), device=estimates.device)
    return rows.expand(estimates.shape[0], 2, estimates.shape[1])


def snr_loss(reference: Tensor, estimate: Tensor) -> Tensor:
    """Negative thresholded signal-to-noise ratio [..] in dB, at least -30: lower is better, 0 for a silent reference.

    10 log10(|x - y|^2 + tau |x|^2) - 10 log10 |x|^2 with tau = SNR_THRESHOLD: Wisdom et al. 2020, arXiv:2006.12701.
    A reference with mean square at most SILENT_POWER gives exactly 0 dB and no gradient, whatever the estimate.

    Args:
        reference: [.., T] linear amplitude.
        estimate: [.., T] on the same scale.
    Returns:
        [..] in dB, fp32 (float64 for float64 estimates), also under autocast.
    Raises:
        ValueError: the shapes differ, or T is 0.
    """
    if reference.shape != estimate.shape or reference.ndim == 0 or reference.shape[-1] == 0:
        raise ValueError(
            f"reference {list(reference.shape)} and estimate {list(estimate.shape)}: expected the same [.., T], T >= 1."
        )
    with torch.autocast(estimate.device.type, enabled=False):
        precision = _precision(estimate)
        reference, estimate = reference.to(precision), estimate.to(precision)
        error = (reference - estimate).square().sum(dim=-1)
        return _loss_db(error, reference.square().sum(dim=-1), reference.shape[-1])


def _loss_db(error_energy: Tensor, reference_energy: Tensor, num_samples: int) -> Tensor:
    """Thresholded loss in dB from energies, [..] each; 0 and without gradient where the reference is silent."""
    silent = reference_energy <= SILENT_POWER * num_samples
    noise = torch.where(silent, 1.0, error_energy + SNR_THRESHOLD * reference_energy)
    return 10 * torch.log10(noise / torch.where(silent, 1.0, reference_energy))


def _gram(waveforms: Tensor) -> Tensor:
    """Inner products [B, W, W], float64, of waveforms [B, W, T]."""
    gram = waveforms.new_zeros((waveforms.shape[0], waveforms.shape[1], waveforms.shape[1]), dtype=torch.float64)
    for chunk in waveforms.split(GRAM_CHUNK, dim=-1):
        exact = chunk.double()
        gram += exact @ exact.mT
    return gram


def _precision(waveforms: Tensor) -> torch.dtype:
    """The dtype losses are computed in: fp32, or float64 for float64 input."""
    return torch.promote_types(waveforms.dtype, torch.float32)


def _validate(references: Tensor, estimates: Tensor) -> None:
    """Refuse shapes whose meaning would have to be guessed."""
    if references.ndim != 3 or references.shape[1] != 2 or references.shape[2] == 0:
        raise ValueError(
            f"references {list(references.shape)}: expected [B, 2, T], T >= 1. Sources are assigned to exactly "
            "two mixtures; for a single mixture make the second one silent."
        )
    batch, _, num_samples = references.shape
    if estimates.ndim != 3 or estimates.shape[0] != batch or estimates.shape[2] != num_samples:
        raise ValueError(
            f"estimates {list(estimates.shape)}: expected [{batch}, S, {num_samples}] to fit references "
            f"{list(references.shape)}."
        )
    num_sources = estimates.shape[1]
    if not 1 <= num_sources <= MAX_SOURCES:
        raise ValueError(
            f"estimates hold {num_sources} sources: expected 1 to {MAX_SOURCES}, because all 2^S assignments "
            "are compared. Separate fewer sources, or add up the weakest before the loss."
        )
