"""The losses of CPSP as its released code computes them, slips included, in our own words.

https://github.com/jasongief/CPSP, cpsp_avel/losses.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def released_spsa(fused: Tensor, is_event: Tensor, temperature: float = 0.6, axis: int = 1) -> Tensor:
    """PSA_S: masked exponentials summed over `axis`; the released 1 sums over anchors, 2 over what they are compared
    with."""
    flag = is_event.to(fused.dtype)
    unit = F.normalize(fused, dim=2)
    cosine = unit @ unit.mT
    is_positive = flag.unsqueeze(2) * flag.unsqueeze(1)
    is_negative = flag.unsqueeze(2) * (1 - flag.unsqueeze(1))
    positive = ((cosine * is_positive / temperature).exp() * is_positive).sum(dim=axis)
    negative = ((cosine * is_negative / temperature).exp() * is_negative).sum(dim=axis)
    num_events = flag.sum(dim=1, keepdim=True)
    negative = negative / (flag.shape[1] - num_events + 1e-12)
    ratio = positive / (positive + negative + 1e-12)
    anchors = torch.ones_like(flag) if axis == 1 else flag
    cost = -((ratio + 1e-12).log() * anchors).sum(dim=1, keepdim=True) / (num_events + 1e-12)
    has_event = (num_events > 0).to(cost)
    return (cost * has_event).sum() / has_event.sum()


def released_vpsa(fused: Tensor, category: Tensor, margin: float, num_negatives: int) -> Tensor:
    """PSA_V: the nearest among distances of which those of the same category are 10^12."""
    clips = F.normalize(fused, dim=2).mean(dim=1)
    squares = clips.square().sum(dim=1)
    distance = (squares[:, None] + squares[None] - 2 * clips @ clips.T).clamp(min=1e-12).sqrt()
    is_same = (category[:, None] == category[None]).to(distance)
    farthest = (distance * is_same - 1e12 * (1 - is_same)).amax(dim=1)
    nearest = (distance * (1 - is_same) + 1e12 * is_same).topk(num_negatives, dim=1, largest=False).values.mean(dim=1)
    return F.margin_ranking_loss(nearest, farthest, torch.ones_like(nearest), margin=margin)
