"""Two small projections of vectors that other models computed, into one space: which sound belongs to which picture.

Each standardises its vectors by the training clips' means and deviations, drops some of their numbers in training, and
maps the rest to a unit vector: linearly, or by way of one hidden layer. The space and its scores are those of the
towers (`towers.SharedSpace`).

Design note: from a few hundred videos, vectors of hundreds of numbers are distinguished by chance, so what is fitted
must be held back. Dropping half of the numbers did that best: docs/benchmarks.md has the figures.
"""

import dataclasses
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from pipeline.config import Count, config_dataclass
from pipeline.models.towers import MAX_LOGIT_SCALE, MIN_NORM, CoincidenceConfig, SharedSpace

MIN_VARIANCE = 1e-8  # a number that hardly varies is not stretched: fp32 holds 1 to 1e-7


@config_dataclass
class ProjectionConfig:
    """Shape of both projections."""

    embedding_dim: Count = 64
    """Size of the shared space."""
    hidden_dim: NonNegativeInt = 128
    """Of the layer between; 0 for none, a linear projection."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a vector's numbers that are set to 0 in training. More helps where there are few videos."""
    temperature: Annotated[float, Field(ge=1 / MAX_LOGIT_SCALE, le=1)] = 0.2
    """Where the learned temperature of the contrastive loss starts; higher forgives pairs that are alike by chance."""


class Projection(nn.Module):
    """Vectors [B, D] -> unit embeddings [B, E].

    Args:
        config: the shape.
        dim: D.
    """

    def __init__(self, config: ProjectionConfig, dim: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(dim, eps=MIN_VARIANCE, affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(dim, config.hidden_dim) if config.hidden_dim else None
        self.dense = nn.Linear(config.hidden_dim or dim, config.embedding_dim, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, E] of length 1, fp32, for vectors [B, D] of any scale; B of 2 or more in training."""
        seen = self.dropout(self.standardise(vectors))
        if self.hidden is not None:
            seen = F.relu(self.hidden(seen))
        return F.normalize(self.dense(seen).float(), dim=-1, eps=MIN_NORM)


class ProjectionModel(SharedSpace):
    """The space of two kinds of vectors.

    Args:
        space: how it scores and matches; the projections bring their own size and temperature.
        config: the shape of both projections.
        picture_dim, sound_dim: numbers of a picture's and of a sound's vector.
    """

    def __init__(self, space: CoincidenceConfig, config: ProjectionConfig, picture_dim: int, sound_dim: int) -> None:
        space = dataclasses.replace(space, embedding_dim=config.embedding_dim, temperature=config.temperature)
        super().__init__(space, Projection(config, picture_dim), Projection(config, sound_dim))

    def forward(self, picture: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """[B, E] visual and [B, E] audio embeddings, both of length 1; bounds the temperature in training."""
        self.bound_temperature()
        return self.visual_tower(picture), self.audio_tower(sound)
