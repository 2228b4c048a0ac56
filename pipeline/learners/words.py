"""Which word a face says, from its lips alone: the lip-reading learner with lipreading.task = words.

In: windows of mouths around spoken words. Out: a probability of each word of the training clips. The lip encoder is
that of a lip-reading model that learnt without labels, and stays as it is (lipreading.encoder = frozen) or learns on
(tuned); without a first model it starts from noise.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import pack_frames, unpack_frames
from pipeline.learners.lipreading import LipreadingLearner
from pipeline.learners.lipreading_config import LipreadingLearnerConfig
from pipeline.learners.loading import rebuild
from pipeline.learners.mouth_crops import CROP, cut_frames, cut_middle, draw_mask, mask_frames, stack_rows
from pipeline.learners.word_examples import UNKNOWN, number_words, window_of
from pipeline.models.lips import FRAME_RATE_HZ
from pipeline.models.word_reader import WordReader
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.checkpointing import load_weights
from pipeline.training.protocols import Batch, Learner


class WordsLearner(Learner[WordReader]):
    """Windows of mouths around words."""

    name = "lipreading"
    clip_spec = "speech"
    reads = "words"
    decided_by_clips = ("vocabulary",)
    config_class = LipreadingLearnerConfig
    presets: ClassVar = LipreadingLearner.presets

    def __init__(self, config: LipreadingLearnerConfig) -> None:
        self.config = config
        self.training = config.words.training
        self.word_window = float(FRAME_RATE_HZ), config.words.num_frames

    @staticmethod
    def is_for(config: LipreadingLearnerConfig) -> bool:
        """Where the task is words."""
        return config.task == "words"

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if clips have another frame rate, or fewer frames than a window."""
        if spec.frame_rate_hz != FRAME_RATE_HZ:
            raise ConfigError(
                f"clips.{self.clip_spec}.frame_rate_hz = {spec.frame_rate_hz:g}: expected {FRAME_RATE_HZ}, which lip "
                "reading is made for."
            )
        if self.config.words.num_frames > spec.num_frames:
            raise ConfigError(
                f"lipreading.words.num_frames = {self.config.words.num_frames}: expected at most {spec.num_frames}, "
                f"the frames of a clip of clips.{self.clip_spec}."
            )

    def builds_on(self) -> dict[str, str]:
        """The model whose lip encoder it starts from."""
        return {self.config.first_model: self.name} if self.config.first_model else {}

    def complete_config(self, train_set: ClipSet[Clip]) -> LipreadingLearnerConfig:
        """The config with the words of the training clips."""
        return dataclasses.replace(self.config, vocabulary=tuple(sorted(train_set.rows["word"].unique().to_pylist())))

    def model(self) -> WordReader:
        """A fresh network.

        Raises:
            ConfigError: the config does not say which words there are.
        """
        config = self.config
        if not config.vocabulary:
            raise ConfigError("lipreading.vocabulary: none, expected the words of the training clips; none has a word.")
        is_frozen = config.encoder == "frozen"
        return WordReader(config.model, num_words=len(config.vocabulary), is_frozen=is_frozen)

    def initialise(self, model: WordReader, workspace: Workspace) -> None:
        """Start from the lip encoder of the model that `builds_on` names.

        Raises:
            ConfigError: it has not been trained, is of another learner or task, or of another size.
        """
        for name, kind in self.builds_on().items():
            before = rebuild(workspace, name, kind)
            if before.config.task != "contrast" or before.config.model != self.config.model:
                raise ConfigError(
                    f"{workspace.uri('models', name)}: a model of {before.config.task} with {before.config.model}; "
                    f"expected one of contrast with lipreading.model as it is here, {self.config.model}."
                )
            trained = before.model()
            load_weights(trained, workspace, f"models/{name}")
            model.lip_encoder.load_state_dict(trained.lip_encoder.state_dict())

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """One row for each video: frames [B, T, 3, S, S] packed, masks [B, 2], and word [B], its number or UNKNOWN."""
        numbers = clips.draw(rng, count)
        seeds = rng.integers(2**63, size=len(numbers))
        chosen = list(range(len(numbers)))[rows]
        return self._load(clips, numbers[chosen], [np.random.default_rng(seeds[i]) for i in chosen], augment)

    def _load(self, clips: ClipSet[Clip], numbers: np.ndarray, rngs: list[np.random.Generator], augment: bool) -> Batch:
        config, mouths = self.config.words, self.config.mouths
        facts = clips.rows.select(["word", "first_frame"]).take(numbers).to_pylist()
        windows = []
        for clip, row, rng in zip(clips.open_many(numbers), facts, rngs, strict=True):
            frames = window_of(clip, row["first_frame"], config, rng if augment else None)
            corner, side = (0.5, 0.5), CROP
            if augment:
                side *= rng.uniform(mouths.smallest_crop, 1)
                corner = (float(rng.random()), float(rng.random())) if mouths.moved_crop else corner
            windows.append(cut_frames(frames, self.config.model.frame_size, corner, side))
        longest = round(mouths.longest_mask_s * FRAME_RATE_HZ) if augment else 0
        words = number_words([row["word"] for row in facts], self.config.vocabulary)
        pictures = pack_frames(windows, *((self.config.augmentation, rngs) if augment else ()))
        masks = stack_rows([draw_mask(config.num_frames, longest, rng) for rng in rngs])
        return pictures | {"masks": masks, "word": torch.from_numpy(words)}

    def unpack(self, batch: Batch) -> Batch:
        """frames [B, T, 3, S, S] in [0, 1], varied and masked; word [B]."""
        pictures = {name: value for name, value in batch.items() if name not in ("masks", "word")}
        return {"frames": mask_frames(unpack_frames(pictures)["frames"], batch["masks"]), "word": batch["word"]}

    def loss(self, model: WordReader, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, and `word_accuracy`, of the rows whose word a training clip has."""
        logits, words = model(batch["frames"]).float(), batch["word"]
        is_known = words != UNKNOWN
        smoothing = self.config.words.smoothing if model.training else 0.0
        errors = F.cross_entropy(logits, words, ignore_index=UNKNOWN, label_smoothing=smoothing, reduction="sum")
        num_known = is_known.sum().clamp_min(1)
        is_right = (logits.argmax(dim=1) == words) & is_known
        return {"loss": errors / num_known, "word_accuracy": is_right.sum() / num_known}

    @torch.no_grad()
    def predict(self, model: WordReader, windows: Tensor) -> Tensor:
        """[B, K] probability of each word, for windows [B, T, 3, H, W] uint8 of mouths, on any device."""
        device = next(model.parameters()).device
        model.eval()
        logits: Tensor = model(cut_middle(windows.to(device), self.config.model.frame_size))
        return logits.float().softmax(dim=1)
