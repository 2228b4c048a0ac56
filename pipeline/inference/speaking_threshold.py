"""Clips of faces with their sound -> the score from which on a face speaks, for `sync`.

Each clip's lips are scored with the clip's own sound and with that of another video's clip, by the rule of `sync`: at
the offset that fits the clip best, second by second. The threshold is where they are distinguished best.

Clips of spans in which several faces are followed do not count: their sound is not that of all of them.
"""

import collections
from collections.abc import Sequence

import numpy as np
import torch

from pipeline.inference.face_agreement import MAX_OFFSET
from pipeline.metrics.speaking import best_threshold, second_scores, shifted_cosines
from pipeline.metrics.synchrony import found_offset


def find_threshold(lips: np.ndarray, speech: np.ndarray, rate_hz: int) -> tuple[float, float]:
    """Threshold and error, as `best_threshold` gives them.

    Args:
        lips: [N, T, D] of N clips of different videos, N >= 2, T >= rate_hz.
        speech: [N, T, D] of their sound.
        rate_hz: frames per second.
    """
    own = torch.cat([clip_scores(*pair, rate_hz) for pair in zip(lips, speech, strict=True)])
    others = np.roll(speech, 1, axis=0)
    other = torch.cat([clip_scores(*pair, rate_hz) for pair in zip(lips, others, strict=True)])
    return best_threshold(own, other)


def lone_clips(clip_ids: Sequence[str]) -> list[int]:
    """Places of the clips that are the only one of their span; an id ends with the number of the face.

    >>> lone_clips(["a_00000000_speech_f0", "a_00000000_speech_f1", "a_00002000_speech_f1"])
    [2]
    """
    spans = [clip_id.rpartition("_f")[0] for clip_id in clip_ids]
    counts = collections.Counter(spans)
    return [place for place, span in enumerate(spans) if counts[span] == 1]


def clip_scores(lips: np.ndarray, speech: np.ndarray, rate_hz: int) -> torch.Tensor:
    """[S] the score of each whole second of a clip, for lips and speech [T, D]."""
    nothing = np.full((MAX_OFFSET, speech.shape[1]), np.nan, np.float32)
    cosines = shifted_cosines(torch.from_numpy(lips), torch.from_numpy(np.concatenate([nothing, speech, nothing])))
    offset, _ = found_offset(cosines.nanmean(dim=0))
    num_seconds = len(lips) // rate_hz
    seconds = cosines[: num_seconds * rate_hz].unflatten(0, (num_seconds, rate_hz)).nanmean(dim=1)
    return second_scores(seconds, int(offset))
