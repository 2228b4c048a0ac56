"""Thresholded signal-to-noise ratio as a loss, and the inner products that it can be computed from.

In: waveforms in linear amplitude. Out: dB, lower is better. `losses/mixit.py` and `losses/pit.py` compare thousands of
ways to match estimates with references through `gram`, and evaluate the chosen one by `snr_loss` on the waveforms.

A silent reference (mean square at most SILENT_POWER) contributes 0 dB whatever the estimate, and no gradient. A small
floor in its place would reward silence down to that floor and divide by it in the gradient.
"""

from typing import Any

import torch
from torch import Tensor

SNR_THRESHOLD = 1e-3
"""tau: past 30 dB a mixture stops improving the loss, so easy examples do not drown hard ones."""
SILENT_POWER = 1e-12
"""Mean square, -120 dB of full scale: the rounding noise of 16-bit sound (-101 dB) still lies 19 dB above it."""
TIE_DB = 1e-6
"""Losses this close count as equal, so that rounding (below 1e-8 dB) never chooses between silent sources."""
CHUNK = 4096
"""Samples converted or multiplied at a time, so that what is made of them stays in a core's cache: 3 MB of float64 for
8 examples of 8 sources and 2 mixtures."""


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
        dtype = loss_dtype(estimate)
        reference, estimate = reference.to(dtype), estimate.to(dtype)
        error = reference - estimate
        noise, energy = (torch.linalg.vecdot(signal, signal) for signal in (error, reference))
        return loss_db(noise, energy, reference.shape[-1])


def loss_db(
    error_energy: Tensor, reference_energy: Tensor, num_samples: int, threshold: float = SNR_THRESHOLD
) -> Tensor:
    """`snr_loss` from energies, [..] each; 0 and without gradient where the reference is silent.

    Args:
        threshold: error that stops improving the loss, as a share of the reference's energy.
    """
    silent = reference_energy <= SILENT_POWER * num_samples
    noise = torch.where(silent, 1.0, error_energy + threshold * reference_energy)
    return 10 * torch.log10(noise / torch.where(silent, 1.0, reference_energy))


def check_estimates(references: Tensor, estimates: Tensor) -> None:
    """Refuse estimates that are not [B, S, T] beside references [B, R, T].

    Raises:
        ValueError: that they are not.
    """
    batch, _, num_samples = references.shape
    if estimates.ndim != 3 or estimates.shape[0] != batch or estimates.shape[2] != num_samples:
        raise ValueError(
            f"estimates {list(estimates.shape)}: expected [{batch}, S, {num_samples}] to fit references "
            f"{list(references.shape)}."
        )


def gram(references: Tensor, estimates: Tensor) -> Tensor:
    """Inner products [B, R + S, R + S], float64 and without gradient, of references [B, R, T] and estimates [B, S, T].

    float64, because tau = 1e-3 is below what low precision resolves: a bfloat16 Gram matrix is off by several dB.
    """
    batch, num_references, _ = references.shape
    size = num_references + estimates.shape[1]
    rows = torch.empty(batch, size, CHUNK, dtype=torch.float64, device=estimates.device)
    # In two products, because MKL multiplies 10 rows by 8 a quarter faster than 10 by 10.
    of_references = rows.new_zeros(batch, num_references, num_references)
    of_estimates = rows.new_zeros(batch, size, size - num_references)
    with torch.no_grad(), torch.autocast(estimates.device.type, enabled=False):
        for first, second in zip(references.split(CHUNK, dim=-1), estimates.split(CHUNK, dim=-1), strict=True):
            exact = rows[..., : first.shape[-1]]
            exact[:, :num_references], exact[:, num_references:] = first, second
            of_references.baddbmm_(exact[:, :num_references], exact[:, :num_references].mT)
            of_estimates.baddbmm_(exact, exact[:, num_references:].mT)
        of_both = torch.cat([of_references, of_estimates[:, :num_references].mT], dim=1)
        return torch.cat([of_both, of_estimates], dim=2)


def remix(weights: Tensor, sources: Tensor) -> Tensor:
    """[B, N, T] weighted sums of sources [B, S, T] by weights [B, N, S]; only the sources get a gradient."""
    return _Remix.apply(weights, sources)


class _Remix(torch.autograd.Function):
    """A matrix product whose gradient is one too, and with neither S nor N waveforms more than in and out."""

    @staticmethod
    def forward(context: Any, weights: Tensor, sources: Tensor) -> Tensor:
        context.save_for_backward(weights)
        return _weighted_sums(weights, sources)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, Tensor]:
        (weights,) = context.saved_tensors
        return None, _weighted_sums(weights.mT, gradient)


def _weighted_sums(weights: Tensor, waveforms: Tensor) -> Tensor:
    """[B, N, T] sums of waveforms [B, S, T] by weights [B, N, S].

    On a GPU without a matrix product: where a process allows TF32 (torch's default does not), it would round the
    waveforms to 1e-3, which is tau.
    """
    if waveforms.device.type == "cpu":
        return weights @ waveforms
    sums = waveforms.new_empty(len(waveforms), weights.shape[1], waveforms.shape[2])
    for target, chunk in zip(sums.split(CHUNK, dim=-1), waveforms.split(CHUNK, dim=-1), strict=True):
        for place, row in enumerate(weights.unbind(dim=1)):
            target[:, place] = (row[..., None] * chunk).sum(dim=1)
    return sums


def loss_dtype(waveforms: Tensor) -> torch.dtype:
    """The dtype losses are computed in: fp32, or float64 for float64 input."""
    return torch.promote_types(waveforms.dtype, torch.float32)
