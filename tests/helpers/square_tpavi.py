"""TPAVI as its equation says, with the map of N x N: what the linear form is compared with."""

import torch
from torch import Tensor

from pipeline.models.tpavi import TPAVI


def square_tpavi(block: TPAVI, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
    """As `TPAVI.forward` with the layers of `block`, for visual [B, T, C, H, W] and audio [B, T, A]."""
    clips, frames, channels, height, width = visual.shape
    sound = block.align_channel(audio)
    repeated = sound[:, :, None, None, :].expand(-1, -1, height, width, -1).reshape(clips, -1, channels)
    places = visual.permute(0, 1, 3, 4, 2).reshape(clips, -1, channels)
    alpha = block.theta(places) @ block.phi(repeated).transpose(1, 2) / places.shape[1]
    taken = block.mu(alpha @ block.g(places)).transpose(1, 2).reshape(clips, channels, frames * height, width)
    norm = torch.nn.functional.batch_norm(
        taken, None, None, block.batch_norm.weight, block.batch_norm.bias, training=True, eps=block.batch_norm.eps
    )
    mixed = block.layer_norm(norm.reshape(clips, channels, -1).transpose(1, 2) + places)
    return mixed.reshape(clips, frames, height, width, channels).permute(0, 1, 4, 2, 3), sound
