"""Into the domain where masks are applied, out of it, and back onto the mixture.

A basis turns a waveform into coefficients (to be masked) and features (for the network), and masked coefficients back
into a waveform. Mixture consistency then gives the sources what they lack of the mixture.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.audio import istft, magnitude, stft
from pipeline.models.tdcn import NORM_EPS

POWER_EPS = 1e-8

Consistency = Literal["uniform", "magsq", "predicted"]


class LearnedBasis(nn.Module):
    """Trained filters, then ReLU; back by trained filters and overlap-add."""

    def __init__(self, num_bins: int, window_size: int, hop_size: int) -> None:
        super().__init__()
        self.num_bins, self.window_size, self.hop_size = num_bins, window_size, hop_size
        self.encoder = nn.Conv1d(1, num_bins, window_size, stride=hop_size, bias=False)
        self.decoder = nn.ConvTranspose1d(num_bins, 1, window_size, stride=hop_size, bias=False)
        glorot_dense_(self.encoder.weight)
        glorot_dense_(self.decoder.weight)

    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, L] coefficients, to be masked, and the same as the network's input."""
        missing = self.window_size - waveform.shape[-1]
        padding = missing if missing > 0 else missing % self.hop_size
        coefficients = torch.relu(self.encoder(F.pad(waveform, (0, padding)).unsqueeze(1)))
        return coefficients, coefficients

    def decode(self, coefficients: Tensor, length: int) -> Tensor:
        """[B, S, length] waveforms of coefficients [B, S, F, L]."""
        waveforms = self.decoder(coefficients.flatten(0, 1)).squeeze(1)[:, :length]
        return waveforms.unflatten(0, coefficients.shape[:2])


class StftBasis(nn.Module):
    """Complex STFT to be masked; its magnitude, normalised over the whole clip, as the network's input."""

    def __init__(self, window_size: int, hop_size: int) -> None:
        super().__init__()
        self.num_bins, self.window_size, self.hop_size = window_size // 2 + 1, window_size, hop_size
        self.gamma = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, L] complex spectrum, and its normalised magnitude."""
        spectrum = stft(waveform, self.window_size, self.hop_size)
        magnitudes = magnitude(spectrum)
        return spectrum, F.layer_norm(magnitudes, magnitudes.shape[1:], eps=NORM_EPS) * self.gamma + self.beta

    def decode(self, spectrum: Tensor, length: int) -> Tensor:
        """[B, S, length] waveforms of spectra [B, S, F, L]."""
        return istft(spectrum, self.window_size, self.hop_size, length)


def mixture_consistency(mixture: Tensor, sources: Tensor, kind: Consistency, share: Tensor | None = None) -> Tensor:
    """[B, S, T] sources plus a share each of what they lack, so that they add up to the mixture, also when silent.

    s_m + w_m (x - sum_k s_k) with sum_m w_m = 1: Wisdom et al. 2019, arXiv:1811.08521.

    Args:
        mixture: [B, T].
        sources: [B, S, T].
        kind: uniform (w = 1/S, the nearest consistent sources), magsq (w proportional to power) or predicted.
        share: [B, S] the weights w, for `predicted`.
    """
    if kind == "uniform":
        share = torch.full_like(sources[..., 0], 1 / sources.shape[1])
    elif kind == "magsq":
        power = sources.square().mean(dim=-1) + POWER_EPS  # per source, before the sum: else silence has no share
        share = power / power.sum(dim=-1, keepdim=True)
    elif share is None:
        raise ValueError("consistency = predicted: the weights are missing.")
    return sources + share.unsqueeze(-1) * (mixture - sources.sum(dim=1)).unsqueeze(1)


def glorot_dense_(weight: Tensor) -> None:
    """Glorot uniform for a weight [F, 1, W] seen as a dense layer between W samples and F coefficients."""
    nn.init.xavier_uniform_(weight.squeeze(1))
