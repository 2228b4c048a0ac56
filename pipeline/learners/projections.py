"""Which sound belongs to which picture, learnt on vectors that other models computed: coincidence with `inputs`.

The same objective, match classifier, calibration and scores as on clips. Two small projections replace the towers: from
a few hundred videos they learn in minutes what towers learn from thousands, because what is in a picture and in a sound
is known before. A batch draws clips with both vectors, each of a different video; nothing is augmented.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.learners.coincidence import CoincidenceLearner, video_numbers
from pipeline.learners.coincidence_config import CoincidenceLearnerConfig
from pipeline.learners.vector_sets import VectorClip, VectorSet
from pipeline.models.projections import ProjectionModel
from pipeline.models.towers import SharedSpace
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch


class ProjectionLearner(CoincidenceLearner):
    """Imported vectors of a clip's picture and sound, pulled together; those of different videos, pushed apart."""

    reads = "vectors"
    decided_by_clips: ClassVar = ("input_dims",)

    def __init__(self, config: CoincidenceLearnerConfig) -> None:
        super().__init__(config)
        self.training = config.projection_training
        self.vector_columns = config.inputs

    @staticmethod
    def is_for(config: CoincidenceLearnerConfig) -> bool:
        """Where there are inputs."""
        return bool(config.inputs)

    @property
    def embedding_dim(self) -> int:
        """Size of the shared space."""
        return self.config.projection.embedding_dim

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Clips of any rate will do: they are not read."""

    def complete_config(self, train_set: ClipSet[Clip]) -> CoincidenceLearnerConfig:
        """The config with the sizes of the vectors."""
        assert isinstance(train_set, VectorSet)
        return dataclasses.replace(self.config, input_dims=(train_set.picture.shape[1], train_set.sound.shape[1]))

    def model(self) -> SharedSpace:
        """Two fresh projections.

        Raises:
            ConfigError: the config does not say how many numbers the vectors have.
        """
        config = self.config
        if len(config.input_dims) != 2:
            raise ConfigError("coincidence.input_dims: none, expected the sizes of the training clips' vectors.")
        return ProjectionModel(config.model, config.projection, *config.input_dims)

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """picture [B, D_v], sound [B, D_a], video [B]; a row for each video. `negatives` as `CoincidenceLearner`."""
        assert isinstance(clips, VectorSet)
        numbers = clips.draw(rng, count)
        chosen = numbers[rows]
        pair = {"picture": clips.picture[chosen], "sound": clips.sound[chosen]}
        batch = {name: torch.from_numpy(vectors) for name, vectors in pair.items()}
        batch["video"] = video_numbers(clips, chosen)
        return batch | (self.draw_noise(rng, len(numbers), rows) if augment else {})

    def unpack(self, batch: Batch) -> Batch:
        """The batch as it is."""
        return batch

    def encode(self, model: SharedSpace, batch: Batch) -> tuple[Tensor, Tensor]:
        """[B, E] visual and [B, E] audio embeddings."""
        visual, audio = model(batch["picture"], batch["sound"])
        return visual, audio

    @torch.no_grad()
    def embed(self, model: SharedSpace, clips: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score [B] in [0, 1], and the [B, E] audio and visual unit embeddings of `VectorClip`s.

        Raises:
            ConfigError: vectors of another size than those that the model is for.
        """
        device = next(model.parameters()).device
        self._check_sizes(clips)
        picture, sound = (
            torch.from_numpy(np.stack(rows)).to(device) for rows in zip(*(c[1:] for c in clips), strict=True)
        )
        visual, audio = model(picture, sound)
        return model.score(visual, audio).cpu().numpy(), audio.cpu().numpy(), visual.cpu().numpy()

    def _check_sizes(self, clips: list[VectorClip]) -> None:
        for clip in clips:
            found = (len(clip.picture), len(clip.sound))
            if found != self.config.input_dims:
                raise ConfigError(
                    f"{clip.key}: vectors of {found[0]} and {found[1]} numbers in {' and '.join(self.config.inputs)}; "
                    f"the model is for {' and '.join(map(str, self.config.input_dims))}. Import those that it was "
                    "trained on."
                )
