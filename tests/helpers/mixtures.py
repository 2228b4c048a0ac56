"""Mixtures and estimates of every kind of difficulty, and MixIT by brute force."""

import itertools

import torch
from torch import Tensor

from pipeline.losses.snr import SILENT_POWER

BATCH, SAMPLES = 3, 240


def brute_force(references: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """Losses [B, N^S] of all assignments from the equation alone, and the mixture [N^S, S] of each source in them.

    Every assignment is formed and measured on the waveforms, in float64.
    """
    references, estimates = references.double(), estimates.double()
    owners = list(itertools.product(range(references.shape[1]), repeat=estimates.shape[1]))
    losses = []
    for owner in owners:
        loss = torch.zeros(len(references), dtype=torch.float64)
        for number, mixture in enumerate(references.unbind(1)):
            is_here = torch.tensor([float(other == number) for other in owner], dtype=torch.float64)
            remixed = (estimates * is_here[None, :, None]).sum(1)
            energy = (mixture**2).sum(1)
            has_say = energy > SILENT_POWER * mixture.shape[1]
            error = ((mixture - remixed) ** 2).sum(1) + 1e-3 * energy
            ratio = torch.where(has_say, error, 1) / torch.where(has_say, energy, 1)
            loss = loss + 10 * torch.log10(ratio)
        losses.append(loss)
    return torch.stack(losses, dim=1), torch.tensor(owners)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """White noise of unit variance."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def example(case: str, num_sources: int, num_mixtures: int = 2) -> tuple[Tensor, Tensor]:
    """References [B, N, T] and estimates [B, S, T] of one kind of difficulty."""
    levels = 10 ** (-2 * torch.rand(BATCH, num_sources, 1, generator=torch.Generator().manual_seed(1)))
    sources = levels * noise(BATCH, num_sources, SAMPLES, seed=2)
    owner = (torch.arange(num_sources) % num_mixtures)[None, :, None]
    references = torch.stack([(sources * (owner == mixture)).sum(1) for mixture in range(num_mixtures)], dim=1)
    references = references + 1e-3 * noise(BATCH, num_mixtures, SAMPLES, seed=6)
    estimates = sources + 0.05 * noise(BATCH, num_sources, SAMPLES, seed=3)
    if case == "unrelated":
        estimates = noise(BATCH, num_sources, SAMPLES, seed=4)
    elif case == "silent source":
        estimates[:, num_sources // 2] = 0
    elif case == "silent second mixture":
        references[:, 1] = 0
    elif case == "silent first mixture":
        references[0, 0] = 0
    elif case == "everything silent":
        references, estimates = torch.zeros_like(references), torch.zeros_like(estimates)
    elif case == "duplicate sources":
        estimates[:, num_sources // 2 :] = estimates[:, : num_sources - num_sources // 2]
    elif case == "cancelling sources":
        estimates[:, -1] -= 1000 * estimates[:, 0]  # 60 dB louder alone than what remains of the two together
        estimates[:, 0] *= 1000
    elif case == "correlated sources":
        estimates = torch.einsum("rs,bst->brt", noise(num_sources, num_sources, seed=5), estimates)
    return references, estimates


CASES = [
    "noisy",
    "unrelated",
    "silent source",
    "silent second mixture",
    "silent first mixture",
    "everything silent",
    "duplicate sources",
    "cancelling sources",
    "correlated sources",
]
