"""How far a sound is shifted against the picture that shows its making: from what is seen and heard at each frame.

Conventions
-----------
Embeddings are [.., T, D], one per video frame, of the same T frames; they are scaled to unit length here. An offset is
a whole number of frames. Its sign: an offset above 0 means that the sound is late, so that what is seen in frame t is
heard in frame t + offset.

Metrics
-------
- `offset_scores`: mean cosine of what is seen with what is heard, at every offset.
- `found_offset`: the offset with the highest of these scores, and how far it stands out.

References
----------
Chung & Zisserman 2016, "Out of time: automated lip sync in the wild", section 2.3: the offset of the least mean
distance in a sliding window, and as its confidence the difference of the median and the minimum. The distance of unit
vectors falls with their cosine; here the confidence is the best cosine less the median.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def offset_scores(lips: Tensor, speech: Tensor, most: int) -> Tensor:
    """Mean cosine of lips[t] with speech[t + o] over the frames t of which both are there, o = -most to most.

    Args:
        lips: [.., T, D] what is seen at each frame.
        speech: [.., T, D] what is heard at each frame.
        most: the largest offset in frames, in either direction; 0 <= most < T.
    Returns:
        [.., 2 most + 1] in -1 to 1, float32; place i is of the offset i - most.
    Raises:
        ValueError: other shapes, or an offset at which no frame has both.
    """
    if lips.shape != speech.shape or lips.ndim < 2:
        raise ValueError(f"lips {list(lips.shape)}, speech {list(speech.shape)}: expected the same [.., T, D].")
    if not 0 <= most < lips.shape[-2]:
        raise ValueError(f"most = {most} frames: expected 0 to {lips.shape[-2] - 1} of {lips.shape[-2]} frames.")
    cosines = F.normalize(lips.float(), dim=-1) @ F.normalize(speech.float(), dim=-1).transpose(-1, -2)
    return torch.stack([torch.diagonal(cosines, offset, -2, -1).mean(-1) for offset in range(-most, most + 1)], dim=-1)


def found_offset(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The offset with the highest score, and its confidence.

    Args:
        scores: [.., 2 most + 1] as `offset_scores` gives them. Of equal scores the offset nearest to 0 counts, and of
            two as near the one below 0.
    Returns:
        frames: [..] int64, -most to most; above 0 the sound is late.
        confidence: [..] the best score less the median of all.
    Raises:
        ValueError: an even number of scores.

    >>> frames, confidence = found_offset(torch.tensor([0.0, 0.1, 0.2, 0.1, 0.8]))
    >>> int(frames), round(float(confidence), 3)
    (2, 0.7)
    """
    num_offsets = scores.shape[-1]
    if num_offsets % 2 == 0:
        raise ValueError(f"scores {list(scores.shape)}: expected an odd number of offsets, -most to most.")
    most = num_offsets // 2
    order = torch.tensor(sorted(range(num_offsets), key=lambda place: abs(place - most)), device=scores.device)
    best = order[scores[..., order].argmax(dim=-1)]
    return best - most, scores.amax(dim=-1) - scores.median(dim=-1).values
