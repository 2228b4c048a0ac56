"""What learners share in turning decoded clips into tensors: stacking and augmentation, of masks as of pictures."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pipeline.clips.samples import Clip, EncodedClip
from pipeline.config import Share, config_dataclass
from pipeline.training.protocols import Batch


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


LOWEST_ASPECT = 3 / 4  # of a crop, height over width as shares of the frame's; the highest is its inverse
# of the presets for small collections, whose drawn things come in all colours
STRONG = AugmentationConfig(swap_channels=True, colour_gain=0.4, shift=0.12, mirror_fraction=0.5, speed=0.15, gap=0.15)


def stack_frames(frames: Sequence[np.ndarray]) -> Tensor:
    """[B, K, 3, H, W] float in [0, 1] from the uint8 frames [K, 3, H, W] of each clip."""
    return torch.from_numpy(np.stack(frames)).float() / 255


def stack_waveforms(waveforms: list[np.ndarray]) -> Tensor:
    """[B, T] float in [-1, 1)."""
    return torch.from_numpy(np.stack(waveforms))


def pack_frames(
    frames: Sequence[np.ndarray],
    config: AugmentationConfig | None = None,
    rngs: Sequence[np.random.Generator] = (),
) -> Batch:
    """The frames of a batch as `unpack_frames` takes them: a quarter of the bytes, and no arithmetic on the CPU.

    | name | shape | meaning |
    |---|---|---|
    | frames | [B, K, 3, H, W] | uint8 |
    | layout | [B, 6] | int16: which channel becomes red, green and blue; rows down and columns right; 1 if mirrored |
    | gain | [B, 3] | factor of each channel |

    Args:
        frames: [K, 3, H, W] uint8 of each clip.
        config: how clips are varied; `layout` and `gain` are there only where it moves or recolours anything.
        rngs: with a config, B generators, one for each clip.
    """
    packed = {"frames": torch.from_numpy(np.stack(frames))}
    if config is None:
        return packed
    height, width = frames[0].shape[-2:]
    looks = [_draw_look(config, height, width, rng) for rng in rngs]
    layouts, gains = (np.array(rows) for rows in zip(*looks, strict=True))
    if config.swap_channels or config.shift or config.mirror_fraction:
        packed["layout"] = torch.from_numpy(layouts.astype(np.int16))
    if config.colour_gain:
        packed["gain"] = torch.from_numpy(gains).float()
    return packed


def _draw_look(
    config: AugmentationConfig, height: int, width: int, rng: np.random.Generator
) -> tuple[list[int], np.ndarray]:
    """A clip's `layout` [6] and `gain` [3]."""
    order = rng.permutation(3)
    is_mirrored = rng.random() < config.mirror_fraction
    farthest = [round(config.shift * length) for length in (height, width)]
    shift = [int(rng.integers(-most, most + 1)) for most in farthest]
    gain = rng.uniform(1 - config.colour_gain, 1 + config.colour_gain, size=3)
    return [*(order if config.swap_channels else range(3)), *shift, int(is_mirrored)], gain


def draw_crop(smallest: float, rng: np.random.Generator) -> list[float]:
    """A clip's `crop` [4]: top, left, height and width as shares of the frame.

    Its area is `smallest` to 1 of the frame's, its aspect, beside the frame's, 3/4 to 4/3, and it lies anywhere: the
    random resized crop of Inception (Szegedy et al. 2015), but that a side longer than the frame's is as long as it.
    """
    area, aspect = rng.uniform(smallest, 1), np.exp(rng.uniform(np.log(LOWEST_ASPECT), -np.log(LOWEST_ASPECT)))
    height, width = (min(1.0, float(np.sqrt(share))) for share in (area * aspect, area / aspect))
    top, left = (float(rng.uniform(0, 1 - side)) for side in (height, width))
    return [top, left, height, width]


def unpack_frames(batch: Batch) -> Batch:
    """A batch with `frames` [..., K, 3, H, W] float in [0, 1] of those that `pack_frames` gave, on their device.

    They are mirrored, then shifted, then recoloured: all K of a clip alike. What is brighter than 1 becomes 1. A batch
    without frames stays as it is.

    A batch that also has `masks` [B, K, H, W] uint8 gets them moved as the frames are. With `crop` [B, 4]
    (`draw_crop`), each clip's crop then fills the frame: pictures are linear between pixels, a mask takes the nearest.
    """
    if "frames" not in batch:
        return batch
    frames, moved = batch["frames"], {}
    if "layout" in batch:
        layout = batch["layout"].flatten(0, -2).long()
        frames = _moved(frames.flatten(0, -5), layout[:, :3], layout[:, 3:]).view(frames.shape)
        if "masks" in batch:
            moved["masks"] = _moved(batch["masks"].unsqueeze(2), layout[:, :1] * 0, layout[:, 3:]).squeeze(2)
    pictures = torch.empty(frames.shape, device=frames.device).copy_(frames)  # whatever the order in memory was
    if "gain" in batch:
        pictures.div_(255 / batch["gain"][..., None, :, None, None]).clamp_(max=1)
    else:
        pictures.div_(255)
    out = {name: value for name, value in batch.items() if name not in ("layout", "gain", "crop")} | moved
    if "crop" in batch:
        pictures = _cropped(pictures.flatten(1, 2), batch["crop"], "bilinear").view(frames.shape)
        out["masks"] = _cropped(out["masks"].float(), batch["crop"], "nearest").to(torch.uint8)
    return out | {"frames": pictures}


def _moved(frames: Tensor, channels: Tensor, places: Tensor) -> Tensor:
    """[N, K, C', H, W] frames [N, K, C, H, W] with the channels [N, C'] and what `layout` says after those [N, 3]."""
    device, (num, num_frames, _, height, width) = frames.device, frames.shape
    rows = (torch.arange(height, device=device) - places[:, 0, None]) % height
    columns = (torch.arange(width, device=device) - places[:, 1, None]) % width
    columns = torch.where(places[:, 2, None] == 1, width - 1 - columns, columns)
    clip, frame = torch.arange(num, device=device), torch.arange(num_frames, device=device)
    # whole rows first, then places in them: on a CPU a third of the time of one index over all five axes
    lines = frames[clip[:, None, None, None], frame[:, None, None], channels[:, None, :, None], rows[:, None, None, :]]
    return lines.gather(-1, columns[:, None, None, None].expand_as(lines))


def _cropped(images: Tensor, crop: Tensor, mode: str) -> Tensor:
    """[B, C, H, W] images of which each one's crop [B, 4] fills the frame."""
    top, left, height, width = crop.to(images.dtype).unbind(dim=1)
    zero = torch.zeros_like(top)
    # in grid_sample's coordinates the frame reaches from -1 to 1
    across = torch.stack([width, zero, 2 * left + width - 1], dim=1)
    down = torch.stack([zero, height, 2 * top + height - 1], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def augment_waveform(
    clip: Clip | EncodedClip, start: int, length: int, config: AugmentationConfig, rng: np.random.Generator
) -> np.ndarray:
    """[length] of a clip's T samples from `start` on, or a little before, faster or slower, and with a gap.

    Speed moves pitch and rhythm together. Needs start + length <= T. A faster take is moved back into the clip; if the
    whole clip is shorter than that, there is silence before and after it.
    """
    if config.speed:
        speed = float(np.exp(rng.uniform(-config.speed, config.speed)))
        last = clip.num_samples - length * speed  # where it would have to start to end with the clip
        first = min(start, last) if last >= 0 else rng.uniform(last, 0)
        taken = _interpolate(clip, first + speed * np.arange(length), is_silent_outside=last < 0)
    else:
        taken = clip.take_sound(start, length)
    return add_gap(taken, config.gap, rng) if config.gap else taken


def _interpolate(clip: Clip | EncodedClip, places: np.ndarray, is_silent_outside: bool) -> np.ndarray:
    """[N] float32 values of a clip's samples at rising places [N], linear between them; outside 0, or the nearest.

    As np.interp, in half of its time: samples are evenly spaced, so none is searched for.
    """
    last = clip.num_samples - 1
    inside = np.clip(places, 0, last)
    before = inside.astype(np.int64)
    after = np.minimum(before + 1, last)
    begin = int(before[0])
    samples = clip.take_sound(begin, int(after[-1]) + 1 - begin)
    low, high = samples[before - begin], samples[after - begin]
    values = (low + (high - low) * (inside - before).astype(np.float32)).astype(np.float32, copy=False)
    if is_silent_outside:
        values[inside != places] = 0
    return values


def add_gap(samples: np.ndarray, longest: float, rng: np.random.Generator) -> np.ndarray:
    """The [T] samples with a stretch of at most the share `longest` of them silenced."""
    gap = int(rng.integers(0, round(longest * len(samples)) + 1))
    begin = int(rng.integers(0, len(samples) - gap + 1))
    return np.concatenate([samples[:begin], np.zeros(gap, samples.dtype), samples[begin + gap :]])
