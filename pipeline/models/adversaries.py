"""What encoders of lips and speech must learn to mislead: a discriminator of identities, a classifier of modalities.

Both are behind a gradient reversal (Ganin & Lempitsky 2015, arXiv:1409.7495): forward it is the identity, backward it
turns the gradient round and scales it. So one backward pass teaches the adversary to be right and the encoder to make
it wrong. CN113239903 has a momentum gradient reversal and names no rule for it; there are two, both ours:

* `coefficient`: the coefficient moves, lambda_t = m lambda_(t-1) + (1 - m) lambda, from 0. A ramp, steady after it.
* `gradient`: the gradient moves, g_t = m g_(t-1) + (1 - m) dL, and -lambda g_t goes back. Rows of two batches have
  nothing in common, so g_(t-1) is one row for all: the mean over the rows of the last g, from 0.

What moves is a buffer, part of the model: a resumed run goes on with it. Every process of a training must show the
reversal the rows of all processes in one order; then it holds the same everywhere.
"""

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from pipeline.config import Count, config_dataclass

SEGMENTS = 4  # of a clip, for the discriminator of identities: 16 clips give 384 pairs of one video, 3 840 of two


@config_dataclass
class AdversariesConfig:
    """Weights of both adversaries; with a weight of 0, that adversary is not there at all."""

    identity_weight: NonNegativeFloat = 1.0
    """Weight of the loss of the discriminator of identities, which learns whether two segments are of one video."""
    modality_weight: NonNegativeFloat = 1.0
    """Weight of the loss of the classifier that learns whether an embedding is of lips or of speech."""
    lambda_identity: NonNegativeFloat = 0.1
    """How strongly lips are taught to mislead the discriminator of identities. 0: it watches, and changes nothing."""
    lambda_modality: NonNegativeFloat = 0.1
    """How strongly both encoders are taught to mislead the classifier of modalities. 0: as above."""
    momentum_rule: Literal["coefficient", "gradient"] = "coefficient"
    """What the momentum of the gradient reversal smooths: its coefficient, or the gradient itself."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Share of the old value that stays at each step. 0: a plain gradient reversal."""
    hidden_dim: Count = 256
    """Hidden units of each adversary. Too few are misled by what a probe still finds."""


class GradientReversal(nn.Module):
    """Rows [..., D] as they are; their gradient comes back reversed, by the rule and the momentum."""

    coefficient: Tensor
    mean_gradient: Tensor

    def __init__(self, dim: int, *, strength: float, momentum: float, rule: Literal["coefficient", "gradient"]) -> None:
        """`strength` is lambda. With momentum 0 both rules send -lambda dL back."""
        super().__init__()
        self.strength, self.momentum, self.rule = strength, momentum, rule
        self.register_buffer("coefficient", torch.tensor(0.0 if rule == "coefficient" else strength))
        self.register_buffer("mean_gradient", torch.zeros(dim if rule == "gradient" else 0))

    def forward(self, rows: Tensor) -> Tensor:
        """The rows. In training, what the momentum smooths moves on: the coefficient here, the gradient on its way."""
        if self.training and self.rule == "coefficient":
            with torch.no_grad():
                self.coefficient.mul_(self.momentum).add_((1 - self.momentum) * self.strength)
        moving = self.mean_gradient if self.training and self.rule == "gradient" else None
        return _Reversal.apply(rows, self.coefficient.clone(), moving, self.momentum)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, coefficient: Tensor, moving: Tensor | None, momentum: float) -> Tensor:
        context.coefficient, context.moving, context.momentum = coefficient, moving, momentum
        return rows.view_as(rows)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        if context.moving is not None:
            gradient = context.momentum * context.moving.to(gradient) + (1 - context.momentum) * gradient
            context.moving.copy_(gradient.flatten(0, -2).mean(dim=0))
        return -context.coefficient.to(gradient) * gradient, None, None, None


class IdentityDiscriminator(nn.Module):
    """Are two embeddings of one identity? Symmetric: it sees their difference, without sign, and their product."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = _classifier(2 * dim, hidden_dim)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """[...] log odds for first [..., D] and second [..., D]."""
        root = first.shape[-1] ** 0.5  # entries of a unit vector are near 1 / root; layers expect them near 1
        first, second = first.float() * root, second.float() * root
        return self.layers(torch.cat([(first - second).abs(), first * second], dim=-1)).squeeze(-1)


class ModalityClassifier(nn.Module):
    """Is an embedding one of lips, or of speech?"""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = _classifier(dim, hidden_dim)

    def forward(self, rows: Tensor) -> Tensor:
        """[...] log odds that rows [..., D] of unit length are of lips."""
        return self.layers(rows.float() * rows.shape[-1] ** 0.5).squeeze(-1)


class Adversaries(nn.Module):
    """Those adversaries that have a weight, each behind a gradient reversal of its own; the others are None."""

    def __init__(self, config: AdversariesConfig, dim: int) -> None:
        """For embeddings of `dim` numbers, of length 1."""
        super().__init__()

        def reversal(strength: float) -> GradientReversal:
            return GradientReversal(dim, strength=strength, momentum=config.momentum, rule=config.momentum_rule)

        self.identity = self.modality = None
        if config.identity_weight:
            self.identity_reversal = reversal(config.lambda_identity)
            self.identity = IdentityDiscriminator(dim, config.hidden_dim)
        if config.modality_weight:
            self.modality_reversal = reversal(config.lambda_modality)
            self.modality = ModalityClassifier(dim, config.hidden_dim)

    def identity_log_odds(self, lips: Tensor) -> Tensor:
        """[B S, B S] that two segments are of one identity, for lips [B, T, D]: a segment (row) with each (column).

        A segment is the mean of its frames, of length 1 (ours): of a single frame the discriminator would see a mouth
        that is open or shut. Each clip has S = SEGMENTS of them, side by side; fewer where it has fewer frames.
        """
        assert self.identity is not None
        segments = torch.stack([part.mean(dim=1) for part in lips.tensor_split(min(SEGMENTS, lips.shape[1]), dim=1)], 1)
        rows = self.identity_reversal(F.normalize(segments.flatten(0, 1), dim=-1))
        return self.identity(rows[:, None].expand(-1, len(rows), -1), rows.expand(len(rows), -1, -1))

    def modality_log_odds(self, lips: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T] each, that what is given is of lips: for lips [B, T, D], and for speech [B, T, D]."""
        assert self.modality is not None
        seen, heard = self.modality(self.modality_reversal(torch.stack([lips, speech])))
        return seen, heard


def _classifier(in_dim: int, hidden_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.LeakyReLU(0.1), nn.Linear(hidden_dim, 1))
