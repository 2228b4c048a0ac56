"""Which of several faces speaks in each second: from how well what each shows agrees with what is heard.

Conventions
-----------
A face has a row of cosines for each frame: of what it shows with what is heard -most to +most frames later; NaN where
nothing is heard, as before a video's start. An offset above 0 means that the sound is late (`synchrony.py`).

Metrics
-------
- `shifted_cosines`: those rows.
- `second_scores`: how far the agreement at a face's own offset stands out of that at all offsets, in each second.
- `name_speaker`: the face with the highest score, or nobody.
- `best_threshold`: the score above which a face counts as speaking.

References
----------
Chung & Zisserman 2016, "Out of time: automated lip sync in the wild", section 4.3 (active speaker detection): the face
of the highest confidence speaks. There the threshold is a constant of their network; here it is where faces with their
own sound and with that of others are distinguished best (Youden 1950, "Index for rating diagnostic tests").
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def shifted_cosines(lips: Tensor, speech: Tensor) -> Tensor:
    """Cosine of each frame's lips with what is heard from `most` frames before to `most` after.

    Args:
        lips: [T, D].
        speech: [T + 2 most, D], beginning `most` frames before the lips; rows of NaN where nothing is heard.
    Returns:
        [T, 2 most + 1] float32; place i is of the offset i - most, NaN where its row of speech is.
    Raises:
        ValueError: other shapes.
    """
    around = len(speech) - len(lips)
    if lips.ndim != 2 or speech.shape[1:] != lips.shape[1:] or around < 0 or around % 2:
        raise ValueError(f"lips {list(lips.shape)}, speech {list(speech.shape)}: expected [T, D] and [T + 2 most, D].")
    windows = F.normalize(speech.float(), dim=-1).unfold(0, around + 1, 1)  # [T, D, 2 most + 1]
    return torch.einsum("td,tdo->to", F.normalize(lips.float(), dim=-1), windows)


def second_scores(cosines: Tensor, offset: int) -> Tensor:
    """How far the agreement at an offset stands out in each second.

    Args:
        cosines: [S, 2 most + 1] mean cosines of each second.
        offset: of the face, over all the time that it is seen.
    Returns:
        [S] the mean cosine at that offset, less the median over all offsets; NaN where either has no value.
    """
    most = cosines.shape[1] // 2
    return cosines[:, most + offset] - cosines.nanmedian(dim=1).values


def name_speaker(scores: Tensor, threshold: float) -> Tensor:
    """[S] the row with the highest of the scores [K, S] if that is `threshold` or more, else -1. NaN: not seen.

    >>> nan = float("nan")
    >>> name_speaker(torch.tensor([[0.5, 0.1, nan, nan], [0.2, 0.0, 0.4, nan]]), 0.3).tolist()
    [0, -1, 1, -1]
    """
    if not len(scores):
        return torch.full((scores.shape[1],), -1)
    best, row = scores.nan_to_num(nan=-torch.inf).max(dim=0)
    return torch.where(best >= threshold, row, -1)


def best_threshold(own: Tensor, other: Tensor) -> tuple[float, float]:
    """The score at which the share of `own` [N] at or above it is furthest above that of `other` [M] (Youden 1950).

    Where some of `own` are none, such as clips of a silent face, they lower that difference alike for all thresholds
    above them; the point of equal errors would be drawn down to them.

    Returns:
        threshold: half-way between two neighbouring scores; of several as good ones the lowest.
        error: the mean of the share of `own` below it and of `other` at or above it; 0.5 is chance.
    Raises:
        ValueError: no score of one of the two.

    >>> best_threshold(torch.tensor([0.0, 0.8, 0.9]), torch.tensor([0.0, 0.1, 0.2]))
    (0.5, 0.16666666666666666)
    """
    if not len(own) or not len(other):
        raise ValueError(f"{len(own)} scores with their own sound, {len(other)} with another: expected some of both.")
    scores = torch.cat([own, other]).double().unique()
    places = torch.cat([scores[:1], (scores[1:] + scores[:-1]) / 2])
    missed = (own.double()[None] < places[:, None]).double().mean(dim=1)
    taken = (other.double()[None] >= places[:, None]).double().mean(dim=1)
    best = (missed + taken).argmin()
    return round(float(places[best]), 6), float((missed[best] + taken[best]) / 2)
