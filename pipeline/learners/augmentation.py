"""What learners share in turning decoded clips into tensors: stacking and augmentation."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MAX_SHIFT = 0.12  # of a frame's side
COLOUR_GAIN = (0.6, 1.4)  # per channel, beside an exchange of channels: shapes stay, colours do not
MAX_SPEED = 0.15  # natural log: 0.86 to 1.16 times as fast
MAX_GAP = 0.15  # of the sound


def stack_frames(frames: Sequence[np.ndarray]) -> Tensor:
    """[B, K, 3, H, W] float in [0, 1] from the uint8 frames [K, 3, H, W] of each clip."""
    return torch.from_numpy(np.stack(frames)).float() / 255


def stack_waveforms(waveforms: list[np.ndarray]) -> Tensor:
    """[B, T] float in [-1, 1)."""
    return torch.from_numpy(np.stack(waveforms))


def augment_frames(frames: Sequence[np.ndarray], rngs: Sequence[np.random.Generator]) -> Tensor:
    """`stack_frames`, shifted, mirrored and recoloured: all K of a clip alike, by the clip's own generator."""
    out = torch.empty(len(frames), *frames[0].shape)
    height, width = frames[0].shape[-2:]
    for target, clip, rng in zip(out, frames, rngs, strict=True):
        picture = torch.from_numpy(clip[:, rng.permutation(3)])
        if rng.random() < 0.5:
            picture = picture.flip(-1)
        dy = int(rng.integers(-round(MAX_SHIFT * height), round(MAX_SHIFT * height) + 1))
        dx = int(rng.integers(-round(MAX_SHIFT * width), round(MAX_SHIFT * width) + 1))
        gain = torch.from_numpy(rng.uniform(*COLOUR_GAIN, size=(3, 1, 1))).float()
        torch.mul(picture.roll((dy, dx), dims=(-2, -1)).float() / 255, gain, out=target).clamp_(0, 1)
    return out


def augment_waveform(samples: np.ndarray, start: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """[length] of a clip's [T] samples from `start` on, or a little before, played up to MAX_SPEED faster or slower.

    Speed moves pitch and rhythm together. Needs start + length <= T; the faster take is moved back into the clip.
    """
    speed = min(float(np.exp(rng.uniform(-MAX_SPEED, MAX_SPEED))), len(samples) / length)
    first = min(start, len(samples) - length * speed)
    places = first + speed * np.arange(length)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def add_gap(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The [T] samples with a stretch of at most MAX_GAP of them silenced."""
    gap = int(rng.integers(0, round(MAX_GAP * len(samples)) + 1))
    begin = int(rng.integers(0, len(samples) - gap + 1))
    return np.concatenate([samples[:begin], np.zeros(gap, samples.dtype), samples[begin + gap :]])
