"""Which second of a clip holds an event that is both seen and heard, and of what category: PSP and CPSP.

In: features of a clip's N segments, and what is known of them: a category for each (full supervision), a tag for the
clip (weak), or nothing (self; a linear probe on the frozen network then learns from labels). Out: for each segment the
probability of an event, and of each category if there is one.

Design notes. Every loss is computed over the batch of all workers: two of them compare clips with each other, and the
others are means over the clips that have an event. Learning rate and decay are those of the one loop, AdamW and half a
cosine; the published schedule (Adam, 1e-3, halved after 10, 20 and 30 of 45 epochs) is not built.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from pipeline.config import Count, config_dataclass
from pipeline.errors import ConfigError, DataError
from pipeline.features.feature_samples import FeatureClip
from pipeline.features.feature_sets import SIZES
from pipeline.learners.event_objectives import (
    BACKGROUND,
    UNKNOWN,
    EventLossConfig,
    Supervision,
    decide,
    full_losses,
    self_losses,
    weak_losses,
)
from pipeline.learners.event_probe import ProbeConfig, fit_head
from pipeline.losses.cpsp import NO_CATEGORY
from pipeline.metrics.segments import category_accuracy, segment_accuracy
from pipeline.models.psp import PSPConfig, PSPModel, Segments, SeparateHead
from pipeline.training.batching import ClipSet, prefetch
from pipeline.training.protocols import Batch, Context, Learner, LocalContext, TrainingConfig

THRESHOLDS = {"full": 0.99, "weak": 0.95, "self": 0.99}  # of an even share, 1 / N
PROBE_STREAM = 2  # a random stream beside those of the loop


@config_dataclass
class EventsLearnerConfig:
    """Model and training of the events learner; the defaults have the published sizes."""

    supervision: Supervision = "full"
    """full: a category for each second. weak: a tag for each clip. self: no label but for the linear probe."""
    model: PSPConfig = dataclasses.field(default_factory=PSPConfig)
    """The network."""
    loss: EventLossConfig = dataclasses.field(default_factory=EventLossConfig)
    """The parts of the loss."""
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    """The linear probe after supervision = self."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=2400,  # 45 epochs of AVE's 3 339 training clips
            batch_size=64,
            learning_rate=1e-3,
            clip_norm=0.1,
            validate_every=100,
        )
    )
    """Length and pace."""
    num_segments: Count = 10
    """N, seconds of a clip; training sets it from the features, like the next four."""
    num_cells: Count = 49
    """R, cells of a picture."""
    visual_dim: Count = 512
    """C, numbers of a cell."""
    audio_dim: Count = 128
    """A, numbers of a second of sound."""
    categories: tuple[str, ...] = ()
    """Names of the categories of the training clips, sorted."""

    def __post_init__(self) -> None:
        if self.supervision == "self" and self.model.head == "joint":
            raise ValueError(
                "model.head = joint: expected separate with supervision = self, whose probe is linear: one dense layer."
            )

    @property
    def threshold(self) -> float:
        """Share of a row from which the propagation takes a segment in."""
        if self.model.threshold is not None:
            return self.model.threshold
        return THRESHOLDS[self.supervision] / self.num_segments


TINY = EventsLearnerConfig(
    model=PSPConfig(embedding_dim=128, segment_dim=64, lstm_dim=64, attention_dim=128, map_dim=32),
    training=TrainingConfig(
        num_steps=400,
        batch_size=64,
        learning_rate=1e-3,
        warmup_steps=20,
        clip_norm=0.1,
        validate_every=50,
        num_validation_batches=2,
    ),
)
SMALL_TRAINING = dataclasses.replace(TINY.training, num_steps=1200)


class EventsLearner(Learner[PSPModel]):
    """Features of a clip's segments, and how much is said of them."""

    name = "events"
    needs_whole_batch = True
    clip_spec = "events"
    reads = "features"
    decided_by_clips = (*SIZES, "categories")
    config_class = EventsLearnerConfig
    presets: ClassVar = {"tiny": TINY, "small": dataclasses.replace(TINY, training=SMALL_TRAINING)}

    def __init__(self, config: EventsLearnerConfig) -> None:
        self.config = config
        self.training = config.training
        self.needs_labels = config.supervision != "self"
        self._context: Context = LocalContext()
        self._numbers = {None: BACKGROUND} | {name: number for number, name in enumerate(config.categories)}

    def complete_config(self, train_set: ClipSet[FeatureClip]) -> EventsLearnerConfig:
        """The config with the sizes of the training clips' features, and the categories of their segments.

        Raises:
            ConfigError: the features are of several sizes, or no segment has a category.
        """
        sizes = {name: train_set.rows[name].unique().to_pylist() for name in SIZES}
        several = next((name for name, found in sizes.items() if len(found) > 1), None)
        if several is not None:
            raise ConfigError(f"train events: features with {several} = {sizes[several]}; expected all of one size.")
        found = pc.list_flatten(train_set.rows["categories"]).unique().drop_null().to_pylist()
        if not found:
            raise ConfigError(
                "train events: no second of a training clip has an event; expected spans with categories."
            )
        own = {name: number for name, (number,) in sizes.items()}
        return dataclasses.replace(self.config, **own, categories=tuple(sorted(found)))

    def model(self) -> PSPModel:
        """A fresh network.

        Raises:
            ConfigError: the config does not say which categories there are.
        """
        config = self.config
        if not config.categories:
            raise ConfigError("events.categories: none, expected those of the training clips; no clip has a label.")
        return PSPModel(
            config.model,
            visual_dim=config.visual_dim,
            audio_dim=config.audio_dim,
            num_categories=len(config.categories),
            threshold=config.threshold,
            is_weak=config.supervision == "weak",
        )

    def begin(self, context: Context) -> nn.Module:
        """Keep the context, by which losses see the rows of all workers; there is no memory."""
        self._context = context
        return nn.Module()

    def after_step(self) -> None:
        """There is no memory."""

    def batch(
        self, clips: ClipSet[FeatureClip], rng: np.random.Generator, count: int, rows: slice, augment: bool
    ) -> Batch:
        """visual [B, N, R, C] and audio [B, N, A] in half precision, labels [B, N] and tag [B]; a row for each video.

        Labels are numbers of categories, BACKGROUND or UNKNOWN; a tag of no category of the training clips is
        NO_CATEGORY. Nothing is augmented.
        """
        return self._load(clips, clips.draw(rng, count)[rows])

    def stack(self, clips: Sequence[FeatureClip]) -> Batch:
        """visual [B, N, R, C] and audio [B, N, A] of clips, in half precision.

        Raises:
            ConfigError: features of another shape than those that the model is for.
        """
        config = self.config
        expected = (config.num_segments, config.num_cells, config.visual_dim, config.audio_dim)
        for clip in clips:
            found = (*clip.visual.shape, clip.audio.shape[1])
            if found != expected:
                raise ConfigError(
                    f"{clip.key}: features of {' x '.join(map(str, found))} (segments, cells, numbers of a cell, "
                    f"numbers of the sound), the model is for {' x '.join(map(str, expected))}. Use the features that "
                    "it was trained on.",
                    "other features",
                )
        visual, audio = np.stack([clip.visual for clip in clips]), np.stack([clip.audio for clip in clips])
        return {"visual": torch.from_numpy(visual), "audio": torch.from_numpy(audio)}

    def loss(self, model: PSPModel, batch: Batch) -> dict[str, Tensor]:
        """The loss and its parts, over the rows of all workers and equal on all of them.

        With labels also `segment_accuracy`, the share of segments, background included, that are given what they are,
        and `always_background`, that of background.
        """
        gather, weights = self._context.gather, self.config.loss
        segments = Segments(*(gather(rows) for rows in model(batch["visual"], batch["audio"])))
        if self.config.supervision == "self":
            return self_losses(segments, weights)
        labels, tag = gather(batch["labels"]), gather(batch["tag"])
        if self.config.supervision == "weak":
            parts = weak_losses(model.head, segments, tag, weights)
        else:
            parts = full_losses(model.head, segments, labels, tag, weights)
        with torch.no_grad():
            decided, _ = decide(*model.head.probabilities(segments.fused))
        accuracies = {"segment_accuracy": decided == labels, "always_background": labels == BACKGROUND}
        return parts | {name: is_right.float().mean() for name, is_right in accuracies.items()}

    def predict(self, model: PSPModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Probability [B, N] of an event in each segment, and [B, N, K] of its category if there is one.

        There is an event where the first exceeds 1/2: the published decision, for either head.
        """
        return model.head.probabilities(model(batch["visual"], batch["audio"]).fused)

    @torch.no_grad()
    def conclude(
        self,
        model: PSPModel,
        train_set: ClipSet[FeatureClip],
        validation_set: ClipSet[FeatureClip],
        seed: int,
        context: Context,
    ) -> dict[str, float]:
        """After supervision = self, fit the head to labels on the frozen network: `event_probe.fit_head`.

        Returns:
            `segment_accuracy` and `category_accuracy` of the labelled validation clips; nothing without any, or with
            another supervision, whose head is trained already.
        """
        if self.config.supervision != "self":
            return {}
        model.eval()
        assert isinstance(model.head, SeparateHead)
        fused, labels, tag = self._fused(model, train_set, seed, context)
        tag = tag.where((labels != BACKGROUND).any(dim=1), NO_CATEGORY)
        fit_head(model.head, fused, labels != BACKGROUND, tag, self.config.probe)
        if not np.any(validation_set.rows["is_labelled"]):
            return {}
        fused, labels, _ = self._fused(model, validation_set, seed, context)
        decided, likeliest = decide(*model.head.probabilities(fused))
        truth, *found = (numbers.cpu().numpy() for numbers in (labels, decided, likeliest))
        ratios = {"segment_accuracy": segment_accuracy(truth, found[0])}
        if (truth != BACKGROUND).any():
            ratios["category_accuracy"] = category_accuracy(truth, found[1])
        return {name: ratio.of() for name, ratio in ratios.items()}

    def _fused(
        self, model: PSPModel, clips: ClipSet[FeatureClip], seed: int, context: Context
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fused segments [M, N, D], labels [M, N] and tags [M] of labelled clips, `probe.max_clips` at most.

        All of them on every worker: reading them takes a moment, and so each worker has the same.
        """
        numbers = np.flatnonzero(clips.rows["is_labelled"])
        rng = np.random.default_rng([seed, PROBE_STREAM])
        numbers = np.sort(rng.permutation(numbers)[: self.config.probe.max_clips])
        size = self.training.batch_size
        parts = []
        for batch in prefetch(lambda at: self._load(clips, numbers[at : at + size]), range(0, len(numbers), size)):
            batch = {name: value.to(context.device) for name, value in batch.items()}
            parts.append((model(batch["visual"], batch["audio"]).fused, batch["labels"], batch["tag"]))
        fused, labels, tag = (torch.cat(rows) for rows in zip(*parts, strict=True))
        return fused, labels, tag

    def _load(self, clips: ClipSet[FeatureClip], numbers: np.ndarray) -> Batch:
        """What `batch` gives, of clips by number.

        Raises:
            DataError: labels of another number of segments than the features have.
        """
        rows = clips.rows.select(["clip_id", "categories", "tag"]).take(numbers).to_pylist()
        for row in rows:
            if len(row["categories"]) != self.config.num_segments:
                found, expected = len(row["categories"]), self.config.num_segments
                raise DataError(f"{row['clip_id']}: labels of {found} segments, expected {expected}.")
        labels = [[self._numbers.get(category, UNKNOWN) for category in row["categories"]] for row in rows]
        tags = [max(self._numbers.get(row["tag"], NO_CATEGORY), NO_CATEGORY) for row in rows]
        labelled = {"labels": torch.tensor(labels), "tag": torch.tensor(tags)}
        return self.stack(clips.read_many(numbers)) | labelled
