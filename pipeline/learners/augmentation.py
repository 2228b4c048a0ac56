"""What learners share in turning decoded clips into tensors: stacking and augmentation."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline.config import Share, config_dataclass


@config_dataclass
class AugmentationConfig:
    """How training clips are varied, all frames of a clip alike. By default not at all: no paper of ours names any."""

    swap_channels: bool = False
    """Put red, green and blue in a random order: shapes stay, colours do not. Harmful where colours
    distinguish things."""
    colour_gain: Share = 0.0
    """Each channel is multiplied by a factor between 1 less this and 1 plus this."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Farthest shift up, down, left and right, as a share of the frame's side; what leaves comes in opposite."""
    mirror_fraction: Share = 0.0
    """Share of clips whose frames are mirrored."""
    speed: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest change of the sound's speed and pitch, as a natural logarithm: 0.15 is 0.86 to 1.16 times as fast."""
    gap: Share = 0.0
    """Longest stretch of sound that is silenced, as a share of it."""


# of the presets for small collections, whose drawn things come in all colours
STRONG = AugmentationConfig(swap_channels=True, colour_gain=0.4, shift=0.12, mirror_fraction=0.5, speed=0.15, gap=0.15)


def stack_frames(frames: Sequence[np.ndarray]) -> Tensor:
    """[B, K, 3, H, W] float in [0, 1] from the uint8 frames [K, 3, H, W] of each clip."""
    return torch.from_numpy(np.stack(frames)).float() / 255


def stack_waveforms(waveforms: list[np.ndarray]) -> Tensor:
    """[B, T] float in [-1, 1)."""
    return torch.from_numpy(np.stack(waveforms))


def augment_frames(
    frames: Sequence[np.ndarray], config: AugmentationConfig, rngs: Sequence[np.random.Generator]
) -> Tensor:
    """`stack_frames`, shifted, mirrored and recoloured: all K of a clip alike, by the clip's own generator."""
    out = torch.empty(len(frames), *frames[0].shape)
    for target, clip, rng in zip(out, frames, rngs, strict=True):
        order = rng.permutation(3)
        picture = torch.from_numpy(clip[:, order] if config.swap_channels else clip)
        if rng.random() < config.mirror_fraction:
            picture = picture.flip(-1)
        farthest = [round(config.shift * length) for length in clip.shape[-2:]]
        dy, dx = (int(rng.integers(-most, most + 1)) for most in farthest)
        gain = torch.from_numpy(rng.uniform(1 - config.colour_gain, 1 + config.colour_gain, size=(3, 1, 1))).float()
        target.copy_(picture.roll((dy, dx), dims=(-2, -1))).div_(255 / gain).clamp_(max=1)
    return out


def augment_waveform(
    samples: np.ndarray, start: int, length: int, config: AugmentationConfig, rng: np.random.Generator
) -> np.ndarray:
    """[length] of a clip's [T] samples from `start` on, or a little before, faster or slower, and with a gap.

    Speed moves pitch and rhythm together. Needs start + length <= T. A faster take is moved back into the clip; if the
    whole clip is shorter than that, there is silence before and after it.
    """
    taken = samples[start : start + length]
    if config.speed:
        speed = float(np.exp(rng.uniform(-config.speed, config.speed)))
        last = len(samples) - length * speed  # where it would have to start to end with the clip
        first = min(start, last) if last >= 0 else rng.uniform(last, 0)
        taken = _interpolate(samples, first + speed * np.arange(length), is_silent_outside=last < 0)
    return add_gap(taken, config.gap, rng) if config.gap else taken


def _interpolate(samples: np.ndarray, places: np.ndarray, is_silent_outside: bool) -> np.ndarray:
    """[N] float32 values of the [T] samples at places [N], linear between them; outside 0, or the nearest of them.

    As np.interp, in half of its time: samples are evenly spaced, so none is searched for.
    """
    last = len(samples) - 1
    inside = np.clip(places, 0, last)
    before = inside.astype(np.int64)
    low, high = samples[before], samples[np.minimum(before + 1, last)]
    values = (low + (high - low) * (inside - before).astype(np.float32)).astype(np.float32, copy=False)
    if is_silent_outside:
        values[inside != places] = 0
    return values


def add_gap(samples: np.ndarray, longest: float, rng: np.random.Generator) -> np.ndarray:
    """The [T] samples with a stretch of at most the share `longest` of them silenced."""
    gap = int(rng.integers(0, round(longest * len(samples)) + 1))
    begin = int(rng.integers(0, len(samples) - gap + 1))
    return np.concatenate([samples[:begin], np.zeros(gap, samples.dtype), samples[begin + gap :]])
