"""Which sound belongs to which picture: two towers trained on clips as they are, without any label; then a classifier.

Negatives are other videos' clips: the rest of the batch of all workers (InfoNCE), or thousands out of a memory bank of
the clips seen before (NCE). A batch draws each clip from a different video. After the last step the match classifier is
trained on the best towers, frozen, and calibrated on held-out videos.

Design note: whatever the objective, validation uses InfoNCE in the batch. The memory bank holds no held-out clip, and
this way models of both objectives can be compared.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import (
    augment_waveform,
    pack_frames,
    stack_frames,
    stack_waveforms,
    unpack_frames,
)
from pipeline.learners.coincidence_config import CONTRASTIVE, SMALL_TRAINING, TINY, CoincidenceLearnerConfig
from pipeline.learners.matching import EmbeddedBatch, MatchingConfig, calibrate, train_matcher
from pipeline.learners.separated_sound import separate_some
from pipeline.losses.contrastive import info_nce, information_bound
from pipeline.losses.nce import MemoryBank, centred, log_sum_noise, nce_loss, noise_logits, picking_loss
from pipeline.models.public_weights import load_towers
from pipeline.models.towers import CoincidenceModel, SharedSpace, shared_embedding
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, prefetch, step_rng
from pipeline.training.protocols import Batch, Context, Learner, LocalContext
from pipeline.training.weight_files import read_weights

MATCH_STREAM, HELD_OUT_STREAM = 2, 3  # random streams beside those of the loop


class CoincidenceLearner(Learner[SharedSpace]):
    """Frames and sound of a clip, pulled together; those of different videos, pushed apart."""

    name = "coincidence"
    needs_whole_batch = True
    config_class = CoincidenceLearnerConfig
    presets: ClassVar = {
        "tiny": TINY,
        "small": dataclasses.replace(TINY, training=SMALL_TRAINING, matching=MatchingConfig()),
        "contrastive": CoincidenceLearnerConfig(model=CONTRASTIVE, objective="nce"),
    }

    def __init__(self, config: CoincidenceLearnerConfig) -> None:
        self.config = config
        self.training = config.training
        self._context: Context = LocalContext()
        self._memory: MemoryBank | None = None
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def embedding_dim(self) -> int:
        """Size of the shared space."""
        return self.config.model.embedding_dim

    def model(self) -> SharedSpace:
        """Two fresh towers."""
        return CoincidenceModel(self.config.model)

    def weight_files(self) -> dict[str, str]:
        """The address of the towers' weights."""
        return {"towers": self.config.weights} if self.config.weights is not None else {}

    def initialise(self, model: SharedSpace, workspace: Workspace) -> None:
        """Start the towers from `weight_files`.

        Raises:
            ConfigError: the file has not all of their tensors, or some of other shapes.
            DataError: it is missing or damaged, or holds anything else than tensors by name.
        """
        for uri in self.weight_files().values():
            assert isinstance(model, CoincidenceModel)
            load_towers(model, read_weights(uri)[0], uri)

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if clips have another sample rate than the towers expect."""
        if self.config.model.rate_hz != spec.sample_rate_hz:
            raise ConfigError(
                f"clips.{self.clip_spec}.sample_rate_hz = {spec.sample_rate_hz}, coincidence.model.rate_hz = "
                f"{self.config.model.rate_hz}: expected the same. Set both, and separation.model.towers.rate_hz."
            )

    def begin(self, context: Context) -> nn.Module:
        """Keep the context, and make the memory bank where the objective has one."""
        self._context = context
        if self.config.objective == "info_nce":
            return nn.Module()
        memory = self.config.memory_bank
        self._memory = MemoryBank(memory.size, self.embedding_dim, z_momentum=memory.z_momentum)
        return self._memory

    def after_step(self) -> None:
        """Remember all workers' clips of this step."""
        if self._memory is not None and self._seen is not None:
            self._memory.remember(*self._seen)

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """frames [B, K, 3, H, W] packed (`pack_frames`), waveform [B, T] in [-1, 1), video [B]; a row for each video.

        With a memory, training also gets `negatives`, places in it from [0, 1): [num_negatives], or as many for each
        row [B, ...].
        """
        config, numbers = self.config, clips.draw(rng, count)
        seeds = rng.integers(2**63, size=len(numbers))
        chosen = list(range(len(numbers)))[rows]
        loaded = clips.open_many(numbers[chosen])
        if not augment:
            pictures = pack_frames([clip.take_frames(0, clip.num_frames) for clip in loaded])
            waveform = stack_waveforms([clip.take_sound(0, clip.num_samples) for clip in loaded])
        else:
            rngs = [np.random.default_rng(seeds[i]) for i in chosen]
            spans = [self._span(clip.num_frames, rng) for clip, rng in zip(loaded, rngs, strict=True)]
            seen = [clip.take_frames(first, num) for clip, (first, num, _) in zip(loaded, spans, strict=True)]
            pictures = pack_frames(seen, config.augmentation, rngs)
            total = loaded[0].num_samples
            length = round(config.crop * total)
            starts = [round(place * (total - length)) for _, _, place in spans]
            sounds = [
                augment_waveform(clip, start, length, config.augmentation, rng)
                for clip, start, rng in zip(loaded, starts, rngs, strict=True)
            ]
            waveform = stack_waveforms(sounds)
            others = [np.delete(numbers, row) for row in chosen]
            opened = dict(zip(numbers[chosen].tolist(), loaded, strict=True))
            separate_some(waveform, clips, others, config.separated_fraction, config.model.rate_hz, rngs, opened)
        batch = pictures | {"waveform": waveform, "video": video_numbers(clips, numbers[chosen])}
        return batch | (self.draw_noise(rng, len(numbers), rows) if augment else {})

    def draw_noise(self, rng: np.random.Generator, count: int, rows: slice) -> Batch:
        """`negatives` of the given rows of a batch of `count`; nothing where the objective has no memory."""
        memory = self.config.memory_bank
        if self.config.objective == "info_nce":
            return {}
        if memory.draw == "shared":  # the same on every worker
            return {"negatives": torch.from_numpy(rng.random(memory.num_negatives))}
        return {"negatives": torch.from_numpy(rng.random((count, memory.num_negatives))[rows])}

    def _span(self, num_frames: int, rng: np.random.Generator) -> tuple[int, int, float]:
        """The crop of a clip: first frame, number of frames, and its place in the clip from start (0) to end (1)."""
        num_seen = max(1, round(self.config.crop * num_frames))
        if num_seen == num_frames:
            return 0, num_frames, float(rng.random())
        first = int(rng.integers(num_frames - num_seen + 1))
        return first, num_seen, first / (num_frames - num_seen)

    def unpack(self, batch: Batch) -> Batch:
        """frames [B, K, 3, H, W] in [0, 1], varied; the rest as it is."""
        return unpack_frames(batch)

    def encode(self, model: SharedSpace, batch: Batch) -> tuple[Tensor, Tensor]:
        """[B, D] visual and [B, D] audio embeddings of what `unpack` gave."""
        visual, audio = model(batch["frames"], batch["waveform"])
        return visual, audio

    def loss(self, model: SharedSpace, batch: Batch) -> dict[str, Tensor]:
        """`info_nce`, of all workers' rows together and equal on all of them; or `nce`, of this worker's rows.

        `matched` is the share of pictures that are nearer to their own sound than to that of another row;
        `information_bound` is log k - L, in nats.
        """
        visual, audio = self.encode(model, batch)
        all_visual, all_audio = self._context.gather(visual), self._context.gather(audio)
        video = self._context.gather(batch["video"])
        if model.training and self._memory is not None:
            name = "nce"
            contrast, bound = self._nce(model, (visual, audio), (all_visual, all_audio), batch)
            self._seen = (video, centred(all_visual.detach()), centred(all_audio.detach()))
        else:
            name, losses = "info_nce", info_nce(model.logits(all_visual, all_audio), video)
            contrast, bound = losses.mean(), information_bound(losses, (video[:, None] != video).sum(dim=1))
        own, other = ((all_visual * sound).sum(dim=1) for sound in (all_audio, all_audio.roll(1, dims=0)))
        matched = (own > other).float().mean()
        return {"loss": contrast, name: contrast, "matched": matched, "information_bound": bound}

    def _nce(
        self, model: SharedSpace, rows: tuple[Tensor, Tensor], all_rows: tuple[Tensor, Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """[] mean NCE of this worker's rows, over the directions, and [] the mean of log k - L among the same noise."""
        assert self._memory is not None
        memory, (visual, audio), (all_visual, all_audio) = self._memory, rows, all_rows
        negatives = memory.rows(batch["negatives"])
        excluded = memory.excluded(batch["video"], negatives)
        directions = [
            (0, model.audio_queries(visual), memory.audio, audio - all_audio.mean(dim=0)),
            (1, model.visual_queries(audio), memory.visual, visual - all_visual.mean(dim=0)),
        ]
        if self.config.memory_bank.directions == "visual":
            del directions[1]
        losses, bounds, num_negatives = [], [], (~excluded).sum(dim=1)
        for modality, queries, bank, keys in directions:
            positive = (queries * keys.float()).sum(dim=1)
            noise = noise_logits(queries, bank, negatives)
            # the noise of all workers counts in the estimate of Z
            sums = self._context.gather(torch.stack(log_sum_noise(noise, excluded)).unsqueeze(0))
            log_sum, log_count = sums.logsumexp(dim=0)
            losses.append(nce_loss(positive, noise, excluded, memory.observe(modality, log_sum, log_count)).mean())
            bounds.append(information_bound(picking_loss(positive, noise, excluded), num_negatives))
        return torch.stack(losses).mean(), torch.stack(bounds).mean()

    @torch.no_grad()
    def conclude(
        self,
        model: SharedSpace,
        train_set: ClipSet[Clip],
        validation_set: ClipSet[Clip],
        seed: int,
        context: Context,
    ) -> dict[str, float]:
        """Train the match classifier on the frozen towers and calibrate it; figures of `matching.calibrate`.

        Without two videos to validate on it is calibrated on those it has learnt from, and there are no figures.
        """
        model.eval()
        config = self.config.matching
        is_held_out = validation_set.num_videos >= 2
        if model.matcher is not None or not is_held_out:
            shown = self._embedded(model, train_set, (seed, MATCH_STREAM), config.num_batches, True, context)
        if model.matcher is not None:
            train_matcher(model.matcher, shown, config, seed)
        if not is_held_out:
            calibrate(model, shown)
            return {}
        num_batches = config.num_held_out_batches
        held_out = self._embedded(model, validation_set, (seed, HELD_OUT_STREAM), num_batches, False, context)
        return calibrate(model, held_out)

    def _embedded(
        self,
        model: SharedSpace,
        clips: ClipSet[Clip],
        position: tuple[int, int],
        num_batches: int,
        augment: bool,
        context: Context,
    ) -> list[EmbeddedBatch]:
        """Batches of `clips` as the model embeds them, whole and in one order on any number of workers."""
        size = self.training.batch_size
        num_rows = min(size, clips.num_videos)
        is_shared = num_rows >= context.world_size
        rows = slice(context.rank, None, context.world_size) if is_shared else slice(None)

        def make(index: int) -> Batch:
            return self.batch(clips, step_rng(*position, index), size, rows, augment)

        embedded = []
        for batch in prefetch(make, range(num_batches)):
            batch = self.unpack({name: value.to(context.device) for name, value in batch.items()})
            parts = [*self.encode(model, batch), batch["video"]]
            if is_shared:
                place = context.gather(torch.arange(num_rows, device=context.device)[rows]).argsort()
                parts = [context.gather(part)[place] for part in parts]
            embedded.append(EmbeddedBatch(*parts))
        return embedded

    @torch.no_grad()
    def embed(self, model: SharedSpace, clips: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score [B] in [0, 1], and the [B, D] audio and visual unit embeddings of clips."""
        assert isinstance(model, CoincidenceModel)
        visual = self.embed_pictures(model, [clip.frames for clip in clips])
        audio = self.embed_sounds(model, [clip.waveform for clip in clips])
        return model.score(visual, audio).cpu().numpy(), audio.cpu().numpy(), visual.cpu().numpy()

    @torch.no_grad()
    def embed_sounds(self, model: CoincidenceModel, sounds: list[np.ndarray]) -> Tensor:
        """[B, D] audio unit embeddings of sounds [T] float32 in [-1, 1)."""
        return model.embed_waveform(stack_waveforms(sounds).to(next(model.parameters()).device))

    @torch.no_grad()
    def embed_pictures(self, model: CoincidenceModel, pictures: list[np.ndarray]) -> Tensor:
        """[B, D] visual unit embeddings of the frames [K, 3, H, W] uint8 of clips.

        Overlapping clips share frames, and each is looked at once: 1 in 5 at 1 s hop.
        """
        device = next(model.parameters()).device
        if not model.sees_frames_alone:
            return model.embed_frames(stack_frames(pictures).to(device))
        places: dict[bytes, int] = {}
        index = [[places.setdefault(frame.tobytes(), len(places)) for frame in frames] for frames in pictures]
        pixels = np.stack([np.frombuffer(frame, np.uint8) for frame in places])
        frames = torch.from_numpy(pixels).to(device).view(-1, 1, *pictures[0].shape[1:]).float() / 255
        embeddings = model.visual_tower(frames).embeddings[:, 0]
        return shared_embedding(embeddings[torch.tensor(index, device=device)])


def video_numbers(clips: ClipSet[Any], numbers: np.ndarray) -> Tensor:
    """[B] numbers of the videos of clips."""
    return torch.from_numpy(clips.video_index[numbers].astype(np.int64))
