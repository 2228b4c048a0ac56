"""Which pixels of each frame make the sound that is heard: the AVS baseline, trained on clips with masks.

In: frames and sound of clips, and masks of what sounds in some of the frames. Out: a probability for each pixel of each
frame. As published (Zhou et al. 2022, arXiv:2207.05042) the loss is the binary cross-entropy of the frames that have a
mask, and with several sources the mapping loss of the stages' maps and sounds beside it.

Design notes. Learning rate, decay and the choice of the best weights are those of the one loop: AdamW, half a cosine,
the lowest validation loss; the published ones are Adam, a constant rate, the highest validation mIoU. Masks of
categories are not distinguished: what sounds is one mask.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from pipeline.clip_specs import ClipSpec
from pipeline.config import config_dataclass
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import STRONG, AugmentationConfig, unpack_frames
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.loading import check_towers, rebuild
from pipeline.learners.masked_examples import ExampleDrawer, MaskedExamplesConfig
from pipeline.losses.masks import mapping_loss, masked_bce, mean_under, sound_contrast
from pipeline.masks.masked_clips import MaskedClip
from pipeline.models.avs import AVSConfig, AVSModel, AVSOutput, TowerSound
from pipeline.models.public_weights import load_backbone, load_vggish
from pipeline.models.towers import CoincidenceConfig
from pipeline.models.tpavi import TPAVI
from pipeline.models.vggish import RATE_HZ, VGGish
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.checkpointing import load_weights
from pipeline.training.protocols import Batch, Context, Learner, LocalContext, TrainingConfig
from pipeline.training.weight_files import read_weights


@config_dataclass
class SegmentationLearnerConfig:
    """Model and training of the segmentation learner; the defaults are those published for one source (S4)."""

    model: AVSConfig = dataclasses.field(default_factory=AVSConfig)
    """The network."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(
            num_steps=12_945,  # 15 epochs of 3 452 clips
            batch_size=4,
            learning_rate=1e-4,
            validate_every=863,
            num_validation_batches=185,
        )
    )
    """Length and pace."""
    supervision: Literal["all", "first"] = "all"
    """all: of every mask of a training clip. first: of the first alone, as S4 has them. Validation uses all."""
    mapping: Literal["none", "per_sample", "released"] = "none"
    """The loss by which sound and masked picture should agree: per_sample is its mean over frames, released their sum,
    whose weight grows with the batch. Published for several sources (MS3): released, with the weight 0.5."""
    mapping_weight: NonNegativeFloat = 0.5
    """Weight of the mapping loss (nats of a frame) beside the cross-entropy (nats of a pixel)."""
    contrast_weight: NonNegativeFloat = 0.0
    """Weight of a contrastive loss (nats of a frame, ours) by which the places that sound answer to their own sound
    rather than to those of the batch's other clips. Without it, what sounds is mostly guessed from the picture."""
    examples: MaskedExamplesConfig = dataclasses.field(default_factory=MaskedExamplesConfig)
    """What training examples are made of clips."""
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    """How training examples are varied, masks as pictures."""
    first_model: str | None = "coincidence"
    """Coincidence model whose audio tower the model starts from, where model.audio = tower; None starts from noise."""
    backbone_weights: str | None = None
    """Absolute path or s3:// address, reached from every worker, of a public checkpoint of model.backbone, to start
    from: torchvision's ResNet-50, or PVT v2's own. None starts from noise."""
    audio_weights: str | None = None
    """The same of the public torch VGGish, where model.audio = vggish, which is not trained: without it, it hears
    next to nothing."""

    def __post_init__(self) -> None:
        if self.augmentation.gap:
            raise ValueError(
                f"augmentation.gap = {self.augmentation.gap}: expected 0, because masks show what sounds in the gap."
            )
        if self.mapping != "none" and self.model.fusion == "none":
            raise ValueError(
                f"mapping = {self.mapping}: expected none with model.fusion = none, which has no sound to compare with."
            )
        if self.contrast_weight and self.model.fusion == "none":
            raise ValueError(
                f"contrast_weight = {self.contrast_weight:g}: expected 0 with model.fusion = none, which hears nothing."
            )
        if self.backbone_weights and self.model.backbone == "plain":
            raise ValueError(
                "backbone_weights: expected none with model.backbone = plain, which has no public weights."
            )
        if self.audio_weights and (self.model.audio != "vggish" or self.model.fusion == "none"):
            raise ValueError("audio_weights: expected none where no VGGish hears: model.audio = tower, fusion = none.")
        for name in ("backbone_weights", "audio_weights"):
            uri = getattr(self, name)
            if uri and not uri.startswith(("/", *files.SCHEMES)):
                raise ValueError(f"{name} = {uri}: expected an address that holds in every folder, from / or s3:// on.")


TINY = SegmentationLearnerConfig(
    model=AVSConfig(
        backbone="plain",
        frame_size=128,
        channels=32,
        inter_channels=32,
        exchange="frame",
        audio="tower",
        towers=CoincidenceLearner.presets["tiny"].model,
    ),
    training=TrainingConfig(
        num_steps=600,
        batch_size=16,
        learning_rate=2e-3,
        warmup_steps=50,
        weight_decay=0.01,
        validate_every=100,
        num_validation_batches=8,
    ),
    augmentation=dataclasses.replace(STRONG, speed=0.0, gap=0.0),
    contrast_weight=0.3,
    examples=MaskedExamplesConfig(
        smallest_crop=0.6, beside_fraction=0.5, pasted_fraction=0.1, muted_fraction=0.05, lent_fraction=0.3
    ),
)
SMALL_TRAINING = dataclasses.replace(TINY.training, num_steps=1200, validate_every=200)


class SegmentationLearner(Learner[AVSModel]):
    """Frames and sound of clips, and masks of what sounds."""

    name = "segmentation"
    clip_spec = "segmentation"
    reads = "masks"
    config_class = SegmentationLearnerConfig
    presets: ClassVar = {"tiny": TINY, "small": dataclasses.replace(TINY, training=SMALL_TRAINING)}

    def __init__(self, config: SegmentationLearnerConfig) -> None:
        self.config = config
        self.training = config.training
        self.needs_whole_batch = config.mapping == "released"
        self._context: Context = LocalContext()
        self._drawers: dict[int, list[ExampleDrawer]] = {}

    @property
    def has_tower(self) -> bool:
        """Whether the network has the audio tower of a coincidence model."""
        return self.config.model.audio == "tower" and self.config.model.fusion != "none"

    @property
    def has_vggish(self) -> bool:
        """Whether a VGGish hears the sound."""
        return self.config.model.audio == "vggish" and self.config.model.fusion != "none"

    def model(self) -> AVSModel:
        """A fresh network."""
        return AVSModel(self.config.model)

    def builds_on(self) -> dict[str, str]:
        """The model whose weights it starts from."""
        first = self.config.first_model
        return {first: "coincidence"} if first and self.has_tower else {}

    def weight_files(self) -> dict[str, str]:
        """Addresses of the public checkpoints that it starts from."""
        given = {"backbone": self.config.backbone_weights, "audio": self.config.audio_weights}
        return {part: uri for part, uri in given.items() if uri is not None}

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if clips have other rates or smaller frames than the model takes."""
        model, name = self.config.model, f"clips.{self.clip_spec}"
        if self.has_tower and model.towers.rate_hz != spec.sample_rate_hz:
            raise ConfigError(
                f"{name}.sample_rate_hz = {spec.sample_rate_hz}, segmentation.model.towers.rate_hz = "
                f"{model.towers.rate_hz}: expected the same. Set both."
            )
        if self.has_vggish and (spec.sample_rate_hz, spec.frame_rate_hz) != (RATE_HZ, 1.0):
            raise ConfigError(
                f"{name}: {spec.sample_rate_hz} Hz and {spec.frame_rate_hz:g} frames a second; expected {RATE_HZ} and "
                "1 where segmentation.model.audio = vggish, which hears 0.96 s of sound for each frame."
            )
        if min(spec.frame_height, spec.frame_width) < model.frame_size:
            raise ConfigError(
                f"{name}: frames of {spec.frame_width}x{spec.frame_height}, segmentation.model.frame_size = "
                f"{model.frame_size}: expected frames at least as large."
            )

    def check_towers(self, name: str, first: CoincidenceConfig) -> None:
        """Raises a ConfigError if the model of this name, of these towers, cannot be the one that training starts from.

        Only where segmentation is trained: other systems may have other towers.
        """
        if first.towers != self.config.model.towers.towers:
            raise ConfigError(
                f"{name} has towers of {first.towers}, segmentation.model.towers of {self.config.model.towers.towers}. "
                "Make them equal, or train a coincidence model with these under another name and name it in "
                "segmentation.first_model."
            )

    def begin(self, context: Context) -> nn.Module:
        """Keep the context, which says how many workers share a batch; there is no memory."""
        self._context = context
        return nn.Module()

    def after_step(self) -> None:
        """There is no memory."""

    def initialise(self, model: AVSModel, workspace: Workspace) -> None:
        """Start from the audio tower of the model that `builds_on` names, and from `weight_files`.

        Raises:
            ConfigError: the model has not been trained, is of another learner, or of another shape; a file has the
                weights of another network.
            DataError: a file is missing or damaged, or holds anything else than tensors by name.
        """
        for part, uri in self.weight_files().items():
            tensors, _ = read_weights(uri)
            if part == "backbone":
                load_backbone(model.pyramid, self.config.model.backbone, tensors, uri)
            else:
                assert isinstance(model.sound, VGGish)
                load_vggish(model.sound, tensors, uri)
        for name, kind in self.builds_on().items():
            check_towers(workspace, name)
            before: CoincidenceLearner = rebuild(workspace, name, kind)
            self.check_towers(workspace.uri("models", name), before.config.model)
            trained = before.model()
            load_weights(trained, workspace, f"models/{name}")
            assert isinstance(model.sound, TowerSound)
            model.sound.audio_tower.load_state_dict(trained.audio_tower.state_dict())

    def batch(
        self, clips: ClipSet[MaskedClip], rng: np.random.Generator, count: int, rows: slice, augment: bool
    ) -> Batch:
        """What `ExampleDrawer.batch` gives: frames packed, waveform, masks [B, K, H, W] and mask_valid [B, K]."""
        if id(clips) not in self._drawers:  # a drawer keeps its clips, so no other set gets their id
            config = self.config
            own, first_only = (MaskedExamplesConfig(), False), config.supervision == "first"
            self._drawers[id(clips)] = [
                ExampleDrawer(examples, config.augmentation, clips, first)
                for examples, first in (own, (config.examples, first_only))
            ]
        drawer = self._drawers[id(clips)][augment]
        return drawer.batch(drawer.draw(rng, count)[rows], augment)

    def unpack(self, batch: Batch) -> Batch:
        """frames [B, K, 3, H, W] in [0, 1], and masks moved as they are; the rest as it is."""
        return unpack_frames(batch)

    def loss(self, model: AVSModel, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the masks, and the mapping loss if there is one.

        `iou` is the mean over frames with a mask, of which one in which nothing sounds counts as AVSBench has it.
        """
        output = model(batch["frames"], batch["waveform"])
        masks, valid = batch["masks"], batch["mask_valid"]
        parts = {"cross_entropy": masked_bce(output.logits, masks, valid)}
        loss = parts["cross_entropy"]
        if self.config.mapping != "none":
            mapping = mapping_loss(output.logits, output.maps, output.sounds, self.config.mapping)
            if self.config.mapping == "released" and not self._context.is_alone:
                mapping = mapping * self._context.world_size  # workers' losses are averaged, and this one is a sum
            parts["mapping"] = mapping
            loss = loss + self.config.mapping_weight * mapping
        if self.config.contrast_weight:
            parts["contrast"] = _contrast(model, output, masks, valid)
            loss = loss + self.config.contrast_weight * parts["contrast"]
        with torch.no_grad():
            iou = _frame_iou(output.logits > 0, masks.bool())
            parts["iou"] = (iou * valid).sum() / valid.sum().clamp_min(1)
        return {"loss": loss} | parts

    def predict(self, model: AVSModel, frames: Tensor, waveform: Tensor) -> Tensor:
        """[B, K, H, W] probability that a pixel makes the sound, for frames [B, K, 3, H, W] and waveform [B, T].

        Frames are RGB in [0, 1]. A pixel sounds where it exceeds 1/2: the published decision.
        """
        logits: Tensor = model(frames, waveform).logits
        return logits.float().sigmoid()


def _contrast(model: AVSModel, output: AVSOutput, masks: Tensor, valid: Tensor) -> Tensor:
    """The contrastive loss of the two sides of each stage's attention, their mean."""
    has_mask = valid & masks.bool().flatten(2).any(dim=2)
    losses = []
    for fusion, seen, heard in zip(model.fusions, output.unfused, output.sounds, strict=True):
        assert isinstance(fusion, TPAVI)
        losses.append(sound_contrast(fusion.theta(mean_under(masks, seen)), fusion.phi(heard), has_mask))
    return torch.stack(losses).mean()


def _frame_iou(found: Tensor, masks: Tensor) -> Tensor:
    """[B, K] intersection over union of masks [B, K, H, W]; where nothing sounds the share of pixels not found."""
    both, either = ((found & masks).sum(dim=(2, 3)), (found | masks).sum(dim=(2, 3)))
    is_empty = ~masks.any(dim=3).any(dim=2)
    pixels = masks[0, 0].numel()
    return torch.where(is_empty, pixels - found.sum(dim=(2, 3)), both) / torch.where(is_empty, pixels, either)
