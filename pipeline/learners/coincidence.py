"""Which sound belongs to which picture: two towers trained on clips as they are, without any label; then a classifier.

Negatives are other videos' clips: the rest of the batch of all workers (InfoNCE), or thousands out of a memory (NCE). A
batch draws each clip from a different video. After the last step the match classifier is trained on the best towers,
frozen, and calibrated on held-out videos.

The decision to question: whatever the objective, validation compares by InfoNCE in the batch. The memory knows no
held-out clip, and so runs of both objectives can be compared.
"""

import dataclasses
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.artifacts import Workspace
from pipeline.batching import ClipSet, prefetch, step_rng
from pipeline.learners.common import add_gap, augment_frames, augment_waveform, stack_frames, stack_waveforms
from pipeline.learners.matching import EmbeddedBatch, MatchingConfig, calibrate, train_matcher
from pipeline.losses.contrastive import info_nce_of
from pipeline.losses.nce import MemoryBank, log_sum_noise, nce_loss, noise_logits
from pipeline.models.coincidence import CoincidenceConfig, CoincidenceModel, shared_embedding
from pipeline.samples import Clip
from pipeline.training import Batch, Context, LocalContext, TrainingConfig

MATCH_STREAM, HELD_OUT_STREAM = 2, 3  # random streams beside those of the loop


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """Negatives out of a memory of all training clips; used with objective nce."""

    num_negatives: int = 4096
    """Noise clips per step; the patent names 2 000 to 10 000. More is a tighter bound, log K nats at most."""
    draw: Literal["shared", "per_example"] = "shared"
    """One set of noise clips for the whole batch, 20 times cheaper and more; or each example's own."""
    directions: Literal["both", "visual"] = "both"
    """both: pictures pick sounds and sounds pick pictures. visual: only the first, as the patent has it."""
    momentum: float = 0.5
    """Share of a clip's old embedding that stays when the clip is seen again."""
    z_momentum: float = 0.99
    """Share of the old estimate of the partition function that stays at each step."""

    def __post_init__(self) -> None:
        if self.num_negatives < 1:
            raise ValueError(f"memory.num_negatives = {self.num_negatives}: expected 1 or more.")
        if self.draw not in ("shared", "per_example"):
            raise ValueError(f"memory.draw = {self.draw}: expected shared or per_example.")
        if self.directions not in ("both", "visual"):
            raise ValueError(f"memory.directions = {self.directions}: expected both or visual.")
        MemoryBank(torch.zeros(1), 1, momentum=self.momentum, z_momentum=self.z_momentum)  # checks these two


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
    objective: Literal["info_nce", "nce"] = "info_nce"
    """What the towers learn by: the batch alone, or a memory too, for collections that small batches cannot cover."""
    memory: MemoryConfig = dataclasses.field(default_factory=MemoryConfig)
    """The memory of objective nce."""
    matching: MatchingConfig = dataclasses.field(default_factory=MatchingConfig)
    """The match classifier after the towers."""

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ValueError(f"coincidence.crop = {self.crop}: expected more than 0, at most 1.")
        if self.objective not in ("info_nce", "nce"):
            raise ValueError(f"coincidence.objective = {self.objective}: expected info_nce or nce.")


class CoincidenceLearner:
    """Frames and sound of a clip, pulled together; those of different videos, pushed apart."""

    name = "coincidence"

    def __init__(self, config: CoincidenceLearnerConfig) -> None:
        self.config = config
        self.training = config.training
        self._context: Context = LocalContext()
        self._memory: MemoryBank | None = None
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    def model(self) -> CoincidenceModel:
        """Two fresh towers."""
        return CoincidenceModel(self.config.model)

    def initialise(self, model: nn.Module, workspace: Workspace) -> None:
        """Nothing to load: this is the first model."""

    def begin(self, clips: ClipSet, seed: int, context: Context) -> nn.Module:
        """Remember the other workers, and make the memory of all `clips` where the objective has one."""
        self._context = context
        if self.config.objective == "info_nce":
            return nn.Module()
        memory, videos = self.config.memory, torch.from_numpy(clips.video_index.astype(np.int64))
        dim = self.config.model.embedding_dim
        self._memory = MemoryBank(videos, dim, momentum=memory.momentum, z_momentum=memory.z_momentum)
        return self._memory

    def after_step(self) -> None:
        """Move the memory's rows of all workers' clips of this step."""
        if self._memory is not None and self._seen is not None:
            self._memory.update(*self._seen)

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """frames [B, K, 3, H, W] in [0, 1], waveform [B, T] in [-1, 1), video and clip [B]; each row of another video.

        With a memory, training also gets `negatives`, clip numbers [num_negatives], or as many for each row [B, ...].
        """
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
        batch = {"frames": frames, "waveform": stack_waveforms(sounds), "video": video}
        batch["clip"] = torch.from_numpy(numbers[chosen])
        if self.config.objective == "nce" and augment:
            memory = self.config.memory
            if memory.draw == "shared":  # the same on every worker
                negatives = rng.integers(len(clips), size=memory.num_negatives)
            else:
                negatives = rng.integers(len(clips), size=(len(numbers), memory.num_negatives))[chosen]
            batch["negatives"] = torch.from_numpy(negatives)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The contrastive loss, and the calibration of the cosine, which leaves the towers alone.

        `info_nce` is that of all workers' rows together and equal on all of them; `nce` that of this worker's rows.
        """
        assert isinstance(model, CoincidenceModel)
        visual, audio = model(batch["frames"], batch["waveform"])
        all_visual, all_audio = self._context.gather(visual), self._context.gather(audio)
        if model.training and self._memory is not None:
            name, contrast = "nce", self._nce(model, (visual, audio), (all_visual, all_audio), batch)
            self._seen = (self._context.gather(batch["clip"]), all_visual.detach(), all_audio.detach())
        else:
            video = self._context.gather(batch["video"])
            name, contrast = "info_nce", info_nce_of(model.logits(all_visual, all_audio), video).mean()
        matched = model.match_logit(all_visual, all_audio)
        mismatched = model.match_logit(all_visual, all_audio.roll(1, dims=0))
        calibration = (F.softplus(-matched).mean() + F.softplus(mismatched).mean()) / 2
        accuracy = (matched > mismatched).float().mean()
        return {"loss": contrast + calibration, name: contrast, "calibration": calibration, "matched": accuracy}

    def _nce(
        self, model: CoincidenceModel, rows: tuple[Tensor, Tensor], all_rows: tuple[Tensor, Tensor], batch: Batch
    ) -> Tensor:
        """[] mean NCE of this worker's rows, over the directions.

        The batch's other rows are noise beside the memory's. They alone push the tower that is asked for: without them
        it is only ever pulled, and all its embeddings draw together. With two-layer towers and 3 000 clips, R@1 of 50
        was 0.81 with them and 0.69 without; guided by pictures alone 0.81 and 0.07; InfoNCE 0.82 (2026-11).
        """
        assert self._memory is not None
        memory, negatives, (visual, audio) = self._memory, batch["negatives"], rows
        same_video = batch["video"].unsqueeze(1) == self._context.gather(batch["video"])
        excluded = torch.cat([memory.excluded(batch["clip"], negatives), same_video], dim=1)
        positive = (model.audio_queries(visual) * audio.float()).sum(dim=1)
        directions = [
            (0, model.audio_queries(visual), memory.audio, all_rows[1]),
            (1, model.visual_queries(audio), memory.visual, all_rows[0]),
        ]
        if self.config.memory.directions == "visual":
            del directions[1]
        losses = []
        for view, queries, bank, others in directions:
            everyone = torch.arange(len(others), device=others.device)
            noise = [noise_logits(queries, bank, negatives), noise_logits(queries, others, everyone)]
            losses.append(self._cost(view, positive, torch.cat(noise, dim=1), excluded))
        return torch.stack(losses).mean()

    def _cost(self, view: int, positive: Tensor, noise: Tensor, excluded: Tensor) -> Tensor:
        """[] mean NCE of one direction, with the noise of all workers in the estimate of Z."""
        assert self._memory is not None
        sums = self._context.gather(torch.stack(log_sum_noise(noise, excluded)).unsqueeze(0))
        log_sum, log_count = sums.logsumexp(dim=0)
        return nce_loss(positive, noise, excluded, self._memory.observe(view, log_sum, log_count)).mean()

    @torch.no_grad()
    def conclude(
        self, model: nn.Module, train_set: ClipSet, validation_set: ClipSet, seed: int, context: Context
    ) -> dict[str, float]:
        """Train the match classifier on the frozen towers and calibrate it; figures of `matching.calibrate`.

        Without two videos to validate on it stays as trained, and there are no figures.
        """
        assert isinstance(model, CoincidenceModel)
        model.eval()
        config = self.config.matching
        if model.matcher is not None:
            shown = self._embedded(model, train_set, (seed, MATCH_STREAM), config.num_batches, True, context)
            train_matcher(model.matcher, shown, config, seed)
        if validation_set.num_videos < 2:
            return {}
        position = (seed, HELD_OUT_STREAM)
        held_out = self._embedded(model, validation_set, position, config.num_held_out_batches, False, context)
        return calibrate(model, held_out)

    def _embedded(
        self,
        model: CoincidenceModel,
        clips: ClipSet,
        position: tuple[int, int],
        num_batches: int,
        augment: bool,
        context: Context,
    ) -> list[EmbeddedBatch]:
        """Batches of `clips` as the model embeds them, whole and in one order on any number of workers."""
        size = self.config.training.batch_size
        num_rows = min(size, clips.num_videos)
        is_shared = num_rows >= context.world_size
        rows = slice(context.rank, None, context.world_size) if is_shared else slice(None)

        def make(index: int) -> Batch:
            return self.batch(clips, step_rng(*position, index), size, rows, augment)

        embedded = []
        for batch in prefetch(make, range(num_batches)):
            views = model(batch["frames"].to(context.device), batch["waveform"].to(context.device))
            parts = [*views, batch["video"].to(context.device)]
            if is_shared:
                place = context.gather(torch.arange(num_rows, device=context.device)[rows]).argsort()
                parts = [context.gather(part)[place] for part in parts]
            embedded.append(EmbeddedBatch(*parts))
        return embedded

    @torch.no_grad()
    def embed(self, model: nn.Module, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score [B] in [0, 1], and the [B, D] audio and visual unit embeddings of clips."""
        assert isinstance(model, CoincidenceModel)
        device = next(model.parameters()).device
        visual = self._embed_frames(model, clips, device)
        audio = model.embed_waveform(stack_waveforms([clip.waveform for clip in clips]).to(device))
        return model.score(visual, audio).cpu().numpy(), audio.cpu().numpy(), visual.cpu().numpy()

    def _embed_frames(self, model: CoincidenceModel, clips: list[Clip], device: torch.device) -> Tensor:
        """[B, D] visual embeddings. Overlapping clips share frames, and each is looked at once: 1 in 5 at 1 s hop."""
        if not model.sees_frames_alone:
            return model.embed_frames(stack_frames(clips).to(device))
        places: dict[bytes, int] = {}
        index = [[places.setdefault(frame.tobytes(), len(places)) for frame in clip.frames] for clip in clips]
        pictures = np.stack([np.frombuffer(pixels, np.uint8) for pixels in places])
        frames = torch.from_numpy(pictures).to(device).view(-1, 1, *clips[0].frames.shape[1:]).float() / 255
        embeddings = model.visual_tower(frames).embeddings[:, 0]
        return shared_embedding(embeddings[torch.tensor(index, device=device)])
