"""On-screen losses: how well each separated source's logit says whether the source is on screen, for noisy labels.

In: logits z [B, S], p = sigmoid(z), and labels y [B, S], where R = {m : y_m = 1} came from the best MixIT assignment
and may hold sources that are not on screen after all. Out: [B], summed over sources, in nats. The three losses differ
in what they believe of R; every source outside R is a certain negative in all of them (Tzinis et al. 2021, AudioScope,
arXiv:2011.01143):

    exact                  all of R is on screen
    multiple instance      at least the most probable of R is; the others of R are free
    active combinations    some non-empty part of R is, and the rest of R is not: the cheapest such part

Design note: where R is empty (an off-screen clip, or an assignment that gives the first mixture nothing)
the last two would be minima over nothing. All three are then the cross-entropy of "no source is on screen".

Everything is computed from logits in fp32, so a certain and wrong answer costs |z| instead of log(0).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def exact_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy [B] in nats, summed over sources, that believes every label.

    -sum_m [ y_m log p_m + (1 - y_m) log(1 - p_m) ]: AudioScope, exact cross-entropy loss.

    Args:
        logits: [B, S] log-odds that the source is on screen.
        labels: [B, S] 0 or 1, bool or number.
        weights: [B, S] multiplies each source's term (ours); None is 1. Which sources count does not depend on it.
    Returns:
        [B], at least 0, fp32 (float64 for float64 logits), also under autocast.
    Raises:
        ValueError: the shapes differ or are not [B, S].

    >>> exact_cross_entropy(torch.zeros(1, 4), torch.tensor([[1, 0, 0, 1]]))  # 4 log 2
    tensor([2.7726])
    """
    scores, positives = _prepare(logits, labels)
    return _weighed(torch.where(positives, F.softplus(-scores), F.softplus(scores)), weights)


def multiple_instance_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy [B] in nats that believes one positive label, the most probable, and every negative one.

    -log max_{m in R} p_m - sum_{m not in R} log(1 - p_m): AudioScope, multiple instance loss. The other sources of R
    get no gradient. Equal logits: the first counts. Without positives, as `exact_cross_entropy`.

    Arguments, range and errors as of `exact_cross_entropy`.
    """
    scores, positives = _prepare(logits, labels)
    free = positives & ~_most_probable(scores, positives)
    costs = torch.where(positives, F.softplus(-scores), F.softplus(scores))
    return _weighed(torch.where(free, 0.0, costs), weights)


def active_combinations_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy [B] in nats of the cheapest labelling that keeps at least one, and only, positive labels.

    min over non-empty P in R of -sum_{m in P} log p_m - sum_{m not in P} log(1 - p_m): AudioScope, active combinations
    loss. Closed form instead of the power set: P holds every source of R with p >= 1/2 and the most probable one.
    Without positives, as `exact_cross_entropy`.

    Arguments, range and errors as of `exact_cross_entropy`.
    """
    scores, positives = _prepare(logits, labels)
    return exact_cross_entropy(scores, positives & ((scores >= 0) | _most_probable(scores, positives)), weights)


def _weighed(costs: Tensor, weights: Tensor | None) -> Tensor:
    return (costs if weights is None else costs * weights).sum(dim=-1)


def _most_probable(scores: Tensor, positives: Tensor) -> Tensor:
    """Mask [B, S] of the positive source with the highest score, the first of equals; empty without positives."""
    best = scores.detach().masked_fill(~positives, -torch.inf).argmax(dim=-1, keepdim=True)
    return torch.zeros_like(positives).scatter(-1, best, True) & positives


def _prepare(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in at least fp32, where autocast leaves elementwise work alone, and labels as a mask."""
    if logits.ndim != 2 or logits.shape != labels.shape or logits.shape[1] == 0:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)}: expected the same [B, S], S >= 1, "
            "one logit and one label for each separated source."
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32)), labels > 0.5


CROSS_ENTROPIES = {
    "exact": exact_cross_entropy,
    "multiple_instance": multiple_instance_cross_entropy,
    "active_combinations": active_combinations_cross_entropy,
}
"""By name, as configs have it."""


def source_weights(sources: Tensor) -> Tensor:
    """[B, S] power of each of the sources [B, S, T] over their mean power, without gradient."""
    power = sources.detach().square().sum(dim=-1) + 1e-8
    return power / power.mean(dim=-1, keepdim=True)
