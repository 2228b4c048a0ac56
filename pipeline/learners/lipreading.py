"""Lip reading without labels: lips and speech of one moment, pulled together at two scales of time; CN113239903.

In: clips of mouths with their sound. Out: encoders of both. The contrasts (`losses/dual_contrast.py`) have two
adversaries beside them (`models/adversaries.py`): lips should not say who speaks, and an embedding not whether it is of
lips or of speech. A batch draws each clip from a different video; its rows on all workers are compared with each other.

Design notes. No code of the method is public; the patent has no sizes, negatives, weights, pairs or momentum rule, so
these are ours, each beside its setting. Each term of the loss has a weight, and at 0 neither its parameters nor its
arithmetic are there. Validation compares by the contrasts alone: an adversary that is misled well would look like a
model that has learnt little.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip, EncodedClip
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import pack_frames, stack_waveforms, unpack_frames
from pipeline.learners.lipreading_config import SMALL_TRAINING, TINY, LipreadingLearnerConfig
from pipeline.learners.mouth_crops import (
    CROP,
    cut_frames,
    cut_middle,
    draw_mask,
    mask_frames,
    stack_rows,
    take_window,
    used_frames,
)
from pipeline.losses.adversarial import identity_loss, modality_loss
from pipeline.losses.dual_contrast import long_contrast, short_contrast
from pipeline.models.lips import (
    CONTEXT,
    FRAME_RATE_HZ,
    RATE_HZ,
    Embedded,
    LipReadingModel,
    speech_coefficients,
)
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch, Context, Learner, LocalContext

WINDOW_HOP, MAX_WINDOWS = 5, 10  # frames: validation's short scale picks among 10 windows 0.2 s apart
FRAME_PARTS = ("frames", "layout", "gain")  # of a batch, as `pack_frames` makes them


class LipreadingLearner(Learner[LipReadingModel]):
    """Mouths and sound of clips of 2 s."""

    name = "lipreading"
    clip_spec = "speech"
    needs_whole_batch = True
    config_class = LipreadingLearnerConfig
    presets: ClassVar = {"tiny": TINY, "small": dataclasses.replace(TINY, training=SMALL_TRAINING)}

    def __init__(self, config: LipreadingLearnerConfig) -> None:
        self.config = config
        self.training = config.training
        self._context: Context = LocalContext()

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if clips have other rates than both encoders, or fewer frames than a window."""
        for field, expected in (("frame_rate_hz", FRAME_RATE_HZ), ("sample_rate_hz", RATE_HZ)):
            if getattr(spec, field) != expected:
                raise ConfigError(
                    f"clips.{self.clip_spec}.{field} = {getattr(spec, field):g}: expected {expected}, which lip "
                    "reading is made for: four frames of MFCC for each of the picture."
                )
        if self.config.num_frames > spec.num_frames:
            raise ConfigError(
                f"lipreading.num_frames = {self.config.num_frames}: expected at most {spec.num_frames}, the frames of "
                f"a clip of clips.{self.clip_spec}."
            )

    def model(self) -> LipReadingModel:
        """Two fresh encoders and their adversaries."""
        return LipReadingModel(
            self.config.model, self.config.adversaries, has_long=bool(self.config.contrast.long_weight)
        )

    def begin(self, context: Context) -> nn.Module:
        """Keep the context: the contrasts compare the rows of all workers. There is no memory."""
        self._context = context
        return nn.Module()

    def after_step(self) -> None:
        """Nothing: there is no memory."""

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """One row for each video.

        | name | shape | meaning |
        |---|---|---|
        | frames | [B, T, 3, S, S] | mouths, packed (`pack_frames`) |
        | waveform | [B, 640 T + 240] | in [-1, 1) |
        | video | [B] | its number |
        | masks | [B, 2] | first masked frame, and the one after the last |
        | gain_db | [B] | change of the sound's level |
        """
        numbers = clips.draw(rng, count)
        seeds = rng.integers(2**63, size=len(numbers))
        chosen = list(range(len(numbers)))[rows]
        rngs = [np.random.default_rng(seeds[i]) for i in chosen]
        loaded = clips.open_many(numbers[chosen])
        windows = [self._window(clip, rng, augment) for clip, rng in zip(loaded, rngs, strict=True)]
        num_frames, mouths = len(windows[0][0]), self.config.mouths
        pictures = pack_frames(
            [frames for frames, _ in windows], *((self.config.augmentation, rngs) if augment else ())
        )
        longest = round(mouths.longest_mask_s * FRAME_RATE_HZ) if augment else 0
        level_db = mouths.level_db if augment else 0.0
        return pictures | {
            "waveform": stack_waveforms([sound for _, sound in windows]),
            "video": torch.from_numpy(clips.video_index[numbers[chosen]].astype(np.int64)),
            "masks": stack_rows([draw_mask(num_frames, longest, rng) for rng in rngs]),
            "gain_db": torch.tensor([rng.uniform(-level_db, level_db) for rng in rngs], dtype=torch.float32),
        }

    def _window(
        self, clip: Clip | EncodedClip, rng: np.random.Generator, augment: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames [T, 3, S, S] uint8 and sound of a training window, or of the whole clip."""
        size, mouths = self.config.model.frame_size, self.config.mouths
        if not augment:
            frames, sound = take_window(clip, 0, clip.num_frames)
            return cut_frames(frames, size), sound
        # the frame before the clip's last one is the last whose sound is all there
        latest = max(0, clip.num_frames - 1 - self.config.num_frames)
        frames, sound = take_window(clip, int(rng.integers(latest + 1)), self.config.num_frames)
        side = CROP * rng.uniform(mouths.smallest_crop, 1)
        corner = (float(rng.random()), float(rng.random())) if mouths.moved_crop else (0.5, 0.5)
        return cut_frames(frames, size, corner, side), sound

    def unpack(self, batch: Batch) -> Batch:
        """frames [B, T, 3, S, S] in [0, 1], varied and masked; coefficients [B, 4 T, 13]; is_used [B, T]; video."""
        frames, masks = (
            unpack_frames({name: batch[name] for name in batch if name in FRAME_PARTS})["frames"],
            batch["masks"],
        )
        return {
            "frames": mask_frames(frames, masks),
            "coefficients": speech_coefficients(batch["waveform"], batch["gain_db"]),
            "is_used": used_frames(masks, frames.shape[1]),
            "video": batch["video"],
        }

    def loss(self, model: LipReadingModel, batch: Batch) -> dict[str, Tensor]:
        """`loss` and its terms, of all workers' rows together and equal on all of them.

        In training: `short` and `long`, and the losses `identity` and `modality` of the adversaries, as far as they
        have a weight. In validation the contrasts alone, with `short_recall` (R@1 of the sound among up to 10 windows
        of the same clip, 0.2 s apart) and `long_recall` (R@1 among the batch's videos).
        """
        lips, speech = model.lips(batch["frames"]), model.speech(batch["coefficients"])
        gather = self._context.gather
        steps = gather(lips.steps), gather(speech.steps)
        is_used, videos = gather(batch["is_used"].byte()).bool(), gather(batch["video"])
        contrast, both = self.config.contrast, self.config.contrast.directions == "both"
        scales, terms = model.scales, dict[str, tuple[float, Tensor]]()
        figures = dict[str, Tensor]()
        if contrast.short_weight:
            short = short_contrast(*steps, scales[0], is_used, near=contrast.near_frames, both=both)
            terms["short"] = contrast.short_weight, short
        if contrast.long_weight:
            clips = gather(lips.clip), gather(speech.clip)
            terms["long"] = contrast.long_weight, long_contrast(*clips, scales[1], videos, both=both)
            if not model.training:
                figures["long_recall"] = _recall(clips[0] @ clips[1].T)
        if model.training:
            terms |= self._adversaries(model, *steps, videos)
        else:
            figures["short_recall"] = _recall(_window_scores(*steps))
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return {"loss": loss} | {name: value for name, (_, value) in terms.items()} | figures

    def _adversaries(
        self, model: LipReadingModel, lips: Tensor, speech: Tensor, videos: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and loss of each adversary, for the short scale [B, T, D] of all rows."""
        terms, adversaries, config = dict[str, tuple[float, Tensor]](), model.adversaries, self.config.adversaries
        if config.identity_weight:
            log_odds = adversaries.identity_log_odds(lips)
            of_segments = videos.repeat_interleave(len(log_odds) // len(videos))
            terms["identity"] = config.identity_weight, identity_loss(log_odds, of_segments)
        if config.modality_weight:
            terms["modality"] = config.modality_weight, modality_loss(*adversaries.modality_log_odds(lips, speech))
        return terms

    @torch.no_grad()
    def embed_lips(self, model: LipReadingModel, frames: Tensor) -> Embedded:
        """What is seen in frames [B, T, 3, H, W] uint8 of mouths, on any device."""
        device = next(model.parameters()).device
        with _evaluating(model):
            return model.lips(cut_middle(frames.to(device), self.config.model.frame_size))

    @torch.no_grad()
    def embed_speech(self, model: LipReadingModel, waveform: Tensor) -> Embedded:
        """What is heard in waveform [B, 640 T] or [B, 640 T + 240], float32 in [-1, 1), on any device."""
        device = next(model.parameters()).device
        with _evaluating(model):
            return model.speech(speech_coefficients(waveform.to(device)))

    def embed(self, model: LipReadingModel, frames: Tensor, waveform: Tensor) -> tuple[Embedded, Embedded]:
        """What is seen and what is heard: `embed_lips` and `embed_speech`."""
        return self.embed_lips(model, frames), self.embed_speech(model, waveform)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout and with the batch norm of all its training, then as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _window_scores(lips: Tensor, speech: Tensor) -> Tensor:
    """[B, W, W] cosines of lips and speech of W windows of each clip, for both [B, T, D]; W is 1 or more."""
    times = range(min(CONTEXT, lips.shape[1] - 1), max(CONTEXT + 1, lips.shape[1] - CONTEXT), WINDOW_HOP)[:MAX_WINDOWS]
    return lips[:, times] @ speech[:, times].transpose(1, 2)


def _recall(scores: Tensor) -> Tensor:
    """Share of rows [..., N, N] whose largest score is that of their own column."""
    own = scores.diagonal(dim1=-2, dim2=-1)
    return (own >= scores.amax(dim=-1)).float().mean()
