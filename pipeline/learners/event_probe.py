"""A linear probe: the heads of a frozen network, fitted to labels. How much it finds says what the network has learnt.

In: fused segments of labelled clips. Out: the head's two dense layers, the minimum of a convex loss, so that nothing is
drawn and no rate is chosen: the same features and labels give the same weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor

from pipeline.config import Count, config_dataclass
from pipeline.losses.cpsp import tag_loss

GRADIENT_TOLERANCE = 1e-5


@config_dataclass
class ProbeConfig:
    """The linear probe."""

    max_clips: Count = 20_000
    """Labelled training clips that it is fitted to, at most: 0.2 GB of segments."""
    num_iterations: Count = 200
    """Of L-BFGS, at most."""
    weight_decay: NonNegativeFloat = 1e-4
    """Multiplies the sum of squares of the weights. More where there are few labelled clips."""


def fit_head(head: Any, fused: Tensor, is_event: Tensor, tag: Tensor, config: ProbeConfig) -> None:
    """Fit the two dense layers of a `models.psp.SeparateHead` in place, from zero.

    Minimises the cross-entropy of events over all segments, plus that of the categories over the clips that have one,
    plus the decay of the weights: two logistic regressions, by L-BFGS.

    Args:
        fused: [M, N, D] segments, without gradient.
        is_event: [M, N] bool.
        tag: [M] category numbers, `NO_CATEGORY` for a clip without an event.
    """
    weights = [head.event.weight, head.category.weight]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    optimiser = torch.optim.LBFGS(
        head.parameters(),
        max_iter=config.num_iterations,
        tolerance_grad=GRADIENT_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        event, category = head(fused)
        loss = F.binary_cross_entropy_with_logits(event, is_event.to(event)) + tag_loss(category, tag)
        loss = loss + config.weight_decay * sum(weight.square().sum() for weight in weights)
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
