"""Clips of faces with their sound -> the score from which on a face speaks, for `sync`.

Each clip's lips are scored with the clip's own sound and with that of another video's clip, by the rule of `sync`: at
the offset that fits the clip best, second by second. The threshold is where both kinds are mistaken equally often.
"""

import numpy as np
import torch

from pipeline.inference.face_agreement import MOST
from pipeline.metrics.speaking import equal_error_threshold, second_scores, shifted_cosines
from pipeline.metrics.synchrony import found_offset


def find_threshold(lips: np.ndarray, speech: np.ndarray, rate_hz: int) -> tuple[float, float]:
    """Threshold and error, as `equal_error_threshold` gives them.

    Args:
        lips: [N, T, D] of N clips of different videos, N >= 2, T >= rate_hz.
        speech: [N, T, D] of their sound.
        rate_hz: frames per second.
    """
    own = torch.cat([clip_scores(*pair, rate_hz) for pair in zip(lips, speech, strict=True)])
    others = np.roll(speech, 1, axis=0)
    other = torch.cat([clip_scores(*pair, rate_hz) for pair in zip(lips, others, strict=True)])
    return equal_error_threshold(own, other)


def clip_scores(lips: np.ndarray, speech: np.ndarray, rate_hz: int) -> torch.Tensor:
    """[S] the score of each whole second of a clip, for lips and speech [T, D]."""
    nothing = np.full((MOST, speech.shape[1]), np.nan, np.float32)
    cosines = shifted_cosines(torch.from_numpy(lips), torch.from_numpy(np.concatenate([nothing, speech, nothing])))
    offset, _ = found_offset(cosines.nanmean(dim=0))
    num_seconds = len(lips) // rate_hz
    seconds = cosines[: num_seconds * rate_hz].unflatten(0, (num_seconds, rate_hz)).nanmean(dim=1)
    return second_scores(seconds, int(offset))
