"""Crops of mouths and their sound, as lip reading sees and hears them: cut, brought to its size, varied.

All frames of a clip are varied alike: one crop, one mirroring, one brightness. The sound keeps its times, for lips are
matched with it; only its level varies.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from pipeline.clips.samples import Clip, EncodedClip
from pipeline.config import config_dataclass
from pipeline.models.lips import CONTEXT, FRAME_SAMPLES, REST_SAMPLES

CROP = 88 / 96  # share of the stored side that is seen (Martinez et al. 2020)


@config_dataclass
class MouthAugmentationConfig:
    """How training clips are varied beyond colours and mirroring (ours, but for the crop and the masked time)."""

    moved_crop: bool = True
    """Whether the 88 of 96 pixels that are seen lie anywhere; in validation they are the middle."""
    smallest_crop: Annotated[float, Field(ge=0.5, le=1)] = 1.0
    """Least side of the crop, as a share of those 88 pixels: mouths become larger."""
    longest_mask_s: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Longest stretch of frames that is replaced by the clip's mean frame; the short contrast leaves it out."""
    level_db: NonNegativeFloat = 6.0
    """Largest change of the level of a clip's sound, which is brought to one level before, up or down."""


def cut_frames(
    frames: np.ndarray, size: int, corner: tuple[float, float] = (0.5, 0.5), side: float = CROP
) -> np.ndarray:
    """[T, 3, size, size] uint8: a square of uint8 frames [T, 3, H, W], averaged down or interpolated to `size`.

    Args:
        corner: where the crop lies, from 0 (top, left) to 1 (bottom, right); the middle by default.
        side: of the crop, as a share of the frame's.
    """
    height, width = (max(1, round(side * length)) for length in frames.shape[-2:])
    top, left = (
        round(place * (whole - part))
        for place, whole, part in zip(corner, frames.shape[-2:], (height, width), strict=True)
    )
    crop = torch.from_numpy(np.ascontiguousarray(frames[..., top : top + height, left : left + width]))
    return resize(crop, size).numpy()


def cut_middle(frames: Tensor, size: int) -> Tensor:
    """[..., 3, size, size] float in [0, 1]: the middle of uint8 frames [..., 3, H, W], as `cut_frames` has it."""
    height, width = (round(CROP * length) for length in frames.shape[-2:])
    top, left = (round((whole - part) / 2) for whole, part in zip(frames.shape[-2:], (height, width), strict=True))
    crop = frames[..., top : top + height, left : left + width].flatten(0, -4)
    return (resize(crop, size).float() / 255).unflatten(0, frames.shape[:-3])


def resize(frames: Tensor, size: int) -> Tensor:
    """[N, 3, size, size] uint8 of uint8 frames [N, 3, H, W]; each pixel is a mean where there were more."""
    if frames.shape[-2:] == (size, size):
        return frames
    if frames.device.type == "cpu":  # whole numbers: half of the time of floats
        return F.interpolate(frames, (size, size), mode="bilinear", antialias=True)
    return F.interpolate(frames.float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255).byte()


def take_window(clip: Clip | EncodedClip, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames [count, 3, H, W] from `first` on, and their sound [640 count + 240]; after the clip's end, zeros."""
    start, length = FRAME_SAMPLES * first, FRAME_SAMPLES * count + REST_SAMPLES
    there = min(length, clip.num_samples - start)
    sound = np.zeros(length, np.float32)
    sound[:there] = clip.take_sound(start, there)
    return clip.take_frames(first, count), sound


def draw_mask(num_frames: int, longest: int, rng: np.random.Generator) -> tuple[int, int]:
    """First masked frame and the one after the last: a stretch of 0 to `longest` frames."""
    length = int(rng.integers(0, min(longest, num_frames) + 1))
    first = int(rng.integers(0, num_frames - length + 1))
    return first, first + length


def mask_frames(frames: Tensor, masks: Tensor) -> Tensor:
    """Frames [B, T, 3, H, W] of which those from masks [B, 0] up to masks [B, 1] are the clip's mean frame."""
    return torch.where(_within(masks, frames.shape[1])[..., None, None, None], frames.mean(dim=1, keepdim=True), frames)


def used_frames(masks: Tensor, num_frames: int) -> Tensor:
    """[B, T] False for frames whose five frames reach beyond the clip, or into what `masks` [B, 2] covers.

    A clip of fewer than 5 frames has none.
    """
    reached = torch.stack([masks[:, 0] - CONTEXT, masks[:, 1] + CONTEXT], dim=1)
    is_masked = _within(torch.where((masks[:, 1] > masks[:, 0])[:, None], reached, masks), num_frames)
    time = torch.arange(num_frames, device=masks.device)
    return ~is_masked & (time >= CONTEXT) & (time < num_frames - CONTEXT)


def stack_rows(rows: Sequence[tuple[int, int]]) -> Tensor:
    """[B, 2] int64."""
    return torch.tensor(rows, dtype=torch.int64).view(-1, 2)


def _within(spans: Tensor, num_frames: int) -> Tensor:
    """[B, T] True for the frames from spans [B, 0] up to spans [B, 1]."""
    time = torch.arange(num_frames, device=spans.device)
    return (time >= spans[:, :1]) & (time < spans[:, 1:])
