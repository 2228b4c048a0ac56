"""What the coincidence towers say of each second of a clip: a row of local features per place, and one of the sound."""

import torch
from torch import Tensor

from pipeline.audio import level_gain
from pipeline.models.towers import INPUT_DB, Towers


def segment_features(towers: Towers, frames: Tensor, waveform: Tensor, num_segments: int) -> tuple[Tensor, Tensor]:
    """Means per second of the visual tower's local features and of the audio tower's rows.

    A step of sound that two seconds share counts in each by the time that it has there. The sound is brought to the
    level that the audio tower expects as a whole, so that a quiet second stays quieter than a loud one.

    Args:
        towers: in evaluation mode.
        frames: [B, K, 3, H, W] RGB in [0, 1], K a multiple of N.
        waveform: [B, T] of N seconds, at any level.
        num_segments: N.
    Returns:
        [B, N, R, C] visual features of R places in order row, column; and [B, N, D] audio features.
    """
    seen = towers.visual_tower(frames).local.unflatten(1, (num_segments, frames.shape[1] // num_segments, -1))
    heard = towers.audio_tower(waveform * level_gain(waveform, INPUT_DB)).embeddings
    shares = overlaps(heard.shape[1], towers.audio_tower.step_s, num_segments).to(heard)
    return seen.mean(dim=2), shares @ heard


def overlaps(num_steps: int, step_s: float, num_segments: int) -> Tensor:
    """[N, num_steps] share of each step of sound in the mean of each second, by their common time; rows add up to 1.

    Step i lasts from i * step_s to (i + 1) * step_s, second n from n to n + 1. At least one step must begin in each.
    """
    begin = torch.arange(num_steps, dtype=torch.float64) * step_s
    second = torch.arange(num_segments, dtype=torch.float64).unsqueeze(1)
    common = (torch.minimum(begin + step_s, second + 1) - torch.maximum(begin, second)).clamp_min(0)
    return common / common.sum(dim=1, keepdim=True)
