"""VGGish: what 0.96 s of sound are like, as 128 numbers (Hershey et al. 2017, arXiv:1609.09430).

In: a waveform at 16 kHz. Out: the output of the last dense layer for each frame of a clip, without the PCA and the
quantisation of AudioSet's features. The layers have the names of the public torch checkpoint.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.audio import HOP_S, NUM_MELS, WINDOW_S, log_mel, num_samples

RATE_HZ = 16_000
LOG_OFFSET = 0.01
PATCH_FRAMES = 96
"""Frames of log-mel in a patch, 0.96 s; patches do not overlap."""
DIM = 128
CONVOLUTIONS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)  # channels, or 0 for a pooling by 2
HIDDEN_DIM = 4096


class VGGish(nn.Module):
    """Patches of log-mel -> embeddings; 72 million weights that are never trained here."""

    dim = DIM

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in CONVOLUTIONS:
            if width:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        grid = (PATCH_FRAMES // 16) * (NUM_MELS // 16)
        sizes = (channels * grid, HIDDEN_DIM, HIDDEN_DIM, DIM)
        dense: list[nn.Module] = []
        for in_dim, out_dim in pairwise(sizes):
            dense += [nn.Linear(in_dim, out_dim), nn.ReLU(inplace=True)]
        self.embeddings = nn.Sequential(*dense)
        self.requires_grad_(False)

    def forward(self, waveform: Tensor, num_frames: int) -> Tensor:
        """[B, K, 128], all >= 0, of waveform [B, S] at 16 kHz and its own level; K = `num_frames`."""
        return self.embed(patches(waveform, num_frames))

    @torch.no_grad()
    def embed(self, mels: Tensor) -> Tensor:
        """[B, K, 128] of patches of log-mel [B, K, 96, 64]."""
        grid = self.features(mels.flatten(0, 1).unsqueeze(1))
        rows = grid.permute(0, 2, 3, 1).flatten(1)  # channels last, as the weights expect them
        return self.embeddings(rows).unflatten(0, mels.shape[:2])


def patches(waveform: Tensor, num_frames: int) -> Tensor:
    """[B, K, 96, 64] log-mel of the first K patches of waveform [B, S] at 16 kHz.

    A sound of fewer patches repeats its last one; one of less than a patch is padded with zeros to it.
    """
    needed = num_samples(WINDOW_S, RATE_HZ) + (PATCH_FRAMES - 1) * num_samples(HOP_S, RATE_HZ)
    waveform = nn.functional.pad(waveform, (0, max(0, needed - waveform.shape[-1])))
    mels = log_mel(waveform, RATE_HZ, LOG_OFFSET)
    available = mels.shape[1] // PATCH_FRAMES
    mels = mels[:, : available * PATCH_FRAMES].unflatten(1, (available, PATCH_FRAMES))
    return mels[:, torch.arange(num_frames, device=mels.device).clamp_max(available - 1)]
