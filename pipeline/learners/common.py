"""What learners share in turning decoded clips into tensors: stacking and augmentation."""

import numpy as np
import torch
from torch import Tensor

from pipeline.batching import Clip

MAX_SHIFT = 0.12  # of a frame's side
COLOUR_GAIN = (0.7, 1.3)  # per channel: shapes stay, colours do not


def stack_frames(clips: list[Clip]) -> Tensor:
    """[B, K, 3, H, W] float in [0, 1]."""
    return torch.from_numpy(np.stack([clip.frames for clip in clips])).float() / 255


def stack_waveforms(waveforms: list[np.ndarray]) -> Tensor:
    """[B, T] float in [-1, 1) from int16."""
    return torch.from_numpy(np.stack(waveforms)).float() / 32768


def augment_frames(frames: Tensor, rngs: list[np.random.Generator]) -> Tensor:
    """Frames [B, K, 3, H, W] shifted, mirrored and recoloured: all K of a clip alike, by the clip's own generator."""
    out = torch.empty_like(frames)
    height, width = frames.shape[-2:]
    for clip, (target, rng) in enumerate(zip(out, rngs, strict=True)):
        picture = frames[clip]
        if rng.random() < 0.5:
            picture = picture.flip(-1)
        dy = int(rng.integers(-round(MAX_SHIFT * height), round(MAX_SHIFT * height) + 1))
        dx = int(rng.integers(-round(MAX_SHIFT * width), round(MAX_SHIFT * width) + 1))
        gain = torch.from_numpy(rng.uniform(*COLOUR_GAIN, size=(3, 1, 1))).float()
        target.copy_((picture.roll((dy, dx), dims=(-2, -1)) * gain).clamp_(0, 1))
    return out
