"""What learners share in turning decoded clips into tensors: stacking and augmentation."""

import numpy as np
import torch
from torch import Tensor

from pipeline.clips.samples import Clip

MAX_SHIFT = 0.12  # of a frame's side
COLOUR_GAIN = (0.6, 1.4)  # per channel, beside an exchange of channels: shapes stay, colours do not
MAX_SPEED = 0.15  # natural log: 0.86 to 1.16 times as fast
MAX_GAP = 0.15  # of the sound


def stack_frames(clips: list[Clip]) -> Tensor:
    """[B, K, 3, H, W] float in [0, 1]."""
    return torch.from_numpy(np.stack([clip.frames for clip in clips])).float() / 255


def stack_waveforms(waveforms: list[np.ndarray]) -> Tensor:
    """[B, T] float in [-1, 1)."""
    return torch.from_numpy(np.stack(waveforms))


def augment_frames(frames: Tensor, rngs: list[np.random.Generator]) -> Tensor:
    """Frames [B, K, 3, H, W] shifted, mirrored and recoloured: all K of a clip alike, by the clip's own generator."""
    out = torch.empty_like(frames)
    height, width = frames.shape[-2:]
    for clip, (target, rng) in enumerate(zip(out, rngs, strict=True)):
        picture = frames[clip][:, torch.from_numpy(rng.permutation(3))]
        if rng.random() < 0.5:
            picture = picture.flip(-1)
        dy = int(rng.integers(-round(MAX_SHIFT * height), round(MAX_SHIFT * height) + 1))
        dx = int(rng.integers(-round(MAX_SHIFT * width), round(MAX_SHIFT * width) + 1))
        gain = torch.from_numpy(rng.uniform(*COLOUR_GAIN, size=(3, 1, 1))).float()
        target.copy_((picture.roll((dy, dx), dims=(-2, -1)) * gain).clamp_(0, 1))
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
