"""Which sound belongs to which picture: two towers trained by InfoNCE on clips as they are, without any label.

Negatives are other videos' clips: a batch draws each clip from a different video. Evaluation compares each held-out
clip with its own sound and with that of another video.
"""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.artifacts import Workspace
from pipeline.batching import ClipSet
from pipeline.learners.common import add_gap, augment_frames, augment_waveform, stack_frames, stack_waveforms
from pipeline.losses.contrastive import info_nce
from pipeline.models.coincidence import CoincidenceConfig, CoincidenceModel
from pipeline.samples import Clip
from pipeline.training import Batch, TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CoincidenceLearnerConfig:
    """Model and training of the coincidence learner."""

    model: CoincidenceConfig = dataclasses.field(default_factory=CoincidenceConfig)
    """Both towers. The separation model's towers start from them, so it must have the same."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(num_steps=100_000, batch_size=256, weight_decay=0.01)
    )
    """Length and pace. A larger batch means more negatives, and a harder task."""
    crop: float = 1.0
    """Share of a clip's sound and of its frames seen in training, at random places: less is faster and varies more."""

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ValueError(f"coincidence.crop = {self.crop}: expected more than 0, at most 1.")


class CoincidenceLearner:
    """Frames and sound of a clip, pulled together; those of different videos, pushed apart."""

    name = "coincidence"

    def __init__(self, config: CoincidenceLearnerConfig) -> None:
        self.config = config
        self.training = config.training

    def model(self) -> CoincidenceModel:
        """Two fresh towers."""
        return CoincidenceModel(self.config.model)

    def initialise(self, model: nn.Module, workspace: Workspace) -> None:
        """Nothing to load: this is the first model."""

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """frames [B, K, 3, H, W] in [0, 1], waveform [B, T] in [-1, 1), video [B]; each row of another video."""
        numbers = clips.draw(rng, count)
        seeds = rng.integers(2**63, size=len(numbers))
        chosen = list(range(len(numbers)))[rows]
        loaded = [clips.read(numbers[i]) for i in chosen]
        frames, sounds = stack_frames(loaded), [clip.waveform for clip in loaded]
        if augment:
            rngs = [np.random.default_rng(seeds[i]) for i in chosen]
            num_frames = max(1, round(self.config.crop * frames.shape[1]))
            places = torch.tensor([sorted(rng.permutation(frames.shape[1])[:num_frames]) for rng in rngs])
            frames = augment_frames(frames[torch.arange(len(rngs))[:, None], places], rngs)
            length = round(self.config.crop * len(sounds[0]))
            starts = [int(rng.integers(len(sounds[0]) - length + 1)) for rng in rngs]
            sounds = [
                add_gap(augment_waveform(sound, start, length, rng), rng)
                for sound, start, rng in zip(sounds, starts, rngs, strict=True)
            ]
        video = torch.from_numpy(clips.video_index[numbers[chosen]].astype(np.int64))
        return {"frames": frames, "waveform": stack_waveforms(sounds), "video": video}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE in both directions, and the calibration of the match score on detached cosines."""
        assert isinstance(model, CoincidenceModel)
        visual, audio = model(batch["frames"], batch["waveform"])
        contrast = info_nce(visual, audio, 1 / model.logit_scale, batch["video"]).mean()
        matched, mismatched = model.match_logit(visual, audio), model.match_logit(visual, audio.roll(1, dims=0))
        calibration = (F.softplus(-matched).mean() + F.softplus(mismatched).mean()) / 2
        accuracy = (matched > mismatched).float().mean()
        return {"loss": contrast + calibration, "info_nce": contrast, "calibration": calibration, "matched": accuracy}

    @torch.no_grad()
    def embed(self, model: nn.Module, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score [B] in [0, 1], and the [B, D] audio and visual unit embeddings of clips."""
        assert isinstance(model, CoincidenceModel)
        device = next(model.parameters()).device
        frames = stack_frames(clips).to(device)
        visual, audio = model(frames, stack_waveforms([clip.waveform for clip in clips]).to(device))
        return model.score(visual, audio).cpu().numpy(), audio.cpu().numpy(), visual.cpu().numpy()
