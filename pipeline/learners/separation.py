"""On-screen sound separation: mixtures of mixtures, MixIT, and a classifier that learns from MixIT's own assignment.

Training has two phases, as published (AudioScope, arXiv:2011.01143; AudioScopeV2, arXiv:2207.10141): the separator
alone, on sound (`phase` audio); then all of it (joint), from `first_separator` and the towers of `first_model`.

Two additions of ours teach the classifier what separated sources sound like. `judge_both` also judges the sources
against the frames of the second mixture, to which MixIT assigned the others. `contrast_weight` trains the towers on
them by InfoNCE: a source picks its frames among the batch's, and frames their sources.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.clip_specs import SOUNDS, ClipSpec
from pipeline.clips.samples import Clip
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import unpack_frames
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.loading import check_towers, rebuild
from pipeline.learners.mixtures_of_mixtures import MixtureDrawer
from pipeline.learners.mixtures_of_sounds import SoundDrawer, with_known_sources
from pipeline.learners.separation_config import CONTRASTIVE, SMALL, TINY, SeparationLearnerConfig
from pipeline.learners.source_contrast import contrast
from pipeline.learners.verdict_calibration import fit_verdicts, score_mixtures
from pipeline.losses.mixit import all_to_first, assigned_loss, best_assignment
from pipeline.losses.onscreen_cross_entropy import CROSS_ENTROPIES, source_weights
from pipeline.losses.source_regularisers import covariance_loss, sparsity_loss
from pipeline.models.onscreen_classifier import UNCALIBRATED, Heard
from pipeline.models.separator import SeparationModel
from pipeline.models.towers import TowerOutput, shared_embedding
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet, step_rng
from pipeline.training.checkpointing import load_weights
from pipeline.training.protocols import Batch, Context, Learner, LocalContext

CALIBRATION_STREAM = 4  # of random numbers, beside those of the loop and of coincidence
MIN_VIDEOS = 8  # held out, to calibrate on


class SeparationLearner(Learner[SeparationModel]):
    """Separates mixtures of mixtures and judges each source against the frames."""

    name = "separation"
    config_class = SeparationLearnerConfig
    presets: ClassVar = {"tiny": TINY, "small": SMALL, "contrastive": SeparationLearnerConfig(model=CONTRASTIVE)}
    reads: Literal["clips", "selection"] = "selection"

    def __init__(self, config: SeparationLearnerConfig) -> None:
        self.config = config
        self.training = config.audio_training if config.phase == "audio" else config.training
        self.needs_whole_batch = config.phase == "joint" and config.contrast_weight > 0
        if config.phase == "audio" and config.audio_from == "sounds":
            self.reads, self.clip_spec = "clips", SOUNDS
        self._context: Context = LocalContext()
        self._drawers: dict[int, Any] = {}

    def model(self) -> SeparationModel:
        """A fresh separator and classifier."""
        return SeparationModel(self.config.model)

    def builds_on(self) -> dict[str, str]:
        """The models whose weights it starts from."""
        if self.config.start_from:
            return {self.config.start_from: "separation"}
        if self.config.phase == "audio":
            return {}
        models = {self.config.first_separator: "separation", self.config.first_model: "coincidence"}
        return {name: learner for name, learner in models.items() if name}

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if the models that it starts from cannot be what it needs."""
        alone = self.config.phase == "audio" or (self.config.first_separator and not self.config.start_from)
        if self.config.model.condition_on_video and alone:
            raise ConfigError(
                "separation.model.condition_on_video = true: phase audio has no frames to show the separator. Expected "
                "false, or separation.phase=joint with separation.first_separator=none."
            )
        first, ours = configs["coincidence"].model.towers, self.config.model.towers.towers
        if self.config.first_model == "coincidence" and first != ours:
            raise ConfigError(
                f"coincidence.model = {first}, separation.model.towers = {ours}: expected the same, because separation "
                "starts from the coincidence model's towers. Set both, or name another separation.first_model."
            )

    def begin(self, context: Context) -> nn.Module:
        """Keep the context, whose workers' sources are each other's negatives."""
        self._context = context
        return nn.Module()

    def after_step(self) -> None:
        """There is no memory."""

    def initialise(self, model: SeparationModel, workspace: Workspace) -> None:
        """Start from the trained models that `builds_on` names.

        Raises:
            ConfigError: such a model has not been trained, is of another learner, or of another shape.
            DataError: its file is damaged.
        """
        config = self.config
        if config.start_from:
            before = self._load(workspace, config.start_from, "model", config.model)
            model.load_state_dict(before.state_dict())
            model.classifier.calibrate(*UNCALIBRATED)
        elif config.phase == "joint":
            if config.first_separator:
                before = self._load(workspace, config.first_separator, "separator", config.model.separator)
                model.load_separator(before)
            if config.first_model:
                self._start_towers(model, workspace, config.first_model)
        if config.phase == "joint" and config.model.freeze_separator:
            model.freeze_separator()

    def _load(self, workspace: Workspace, name: str, what: str, expected: Any) -> SeparationModel:
        """A trained separation model whose settings, or those of its separator, are the expected ones."""
        learner: SeparationLearner = rebuild(workspace, name, "separation")
        found = learner.config.model if what == "model" else learner.config.model.separator
        return _trained(workspace, name, learner, what, found, expected)

    def _start_towers(self, model: SeparationModel, workspace: Workspace, name: str) -> None:
        check_towers(workspace, name)
        learner: CoincidenceLearner = rebuild(workspace, name, "coincidence")
        expected = self.config.model.towers.towers
        model.load_towers(_trained(workspace, name, learner, "model.towers", learner.config.model.towers, expected))

    def batch(self, clips: ClipSet[Clip], rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """The rows of `count` recipes, as a `MixtureDrawer` or a `SoundDrawer` draws and mixes them."""
        if id(clips) not in self._drawers:  # a drawer keeps its clips, so no other set gets their id
            config, common = self.config, (clips, self.config.augmentation)
            self._drawers[id(clips)] = (
                SoundDrawer(config.sounds, *common, config.model)
                if self.clip_spec == SOUNDS
                else MixtureDrawer(config.mixtures, *common, with_frames=config.phase == "joint")
            )
        drawer = self._drawers[id(clips)]
        return drawer.batch(drawer.draw(rng, count), rows, augment)

    def unpack(self, batch: Batch) -> Batch:
        """frames [B, 2, K, 3, H, W] in [0, 1], varied, where there are any; the rest as it is."""
        return unpack_frames(batch)

    def loss(self, model: SeparationModel, batch: Batch) -> dict[str, Tensor]:
        """MixIT's separation loss (single mixtures have none) and, in phase joint, the verdicts' losses."""
        references, mom_weight = batch["references"], batch["mom_weight"]
        video = model.classifier.visual_tower(batch["frames"][:, 0]) if self.config.phase == "joint" else None
        sources = model.separate(references.sum(dim=1), None if video is None else video.embeddings)
        single, to_first = (mom_weight == 0)[:, None, None], all_to_first(sources, references.shape[1])
        assignment = torch.where(single, to_first, best_assignment(references, sources))
        # a single mixture's loss is constant: mixture consistency makes its sources add up to it
        per_example = assigned_loss(references, sources, assignment) * mom_weight
        separation = with_known_sources(per_example, sources, batch).mean()
        parts, loss = {"separation_db": separation}, separation
        for name, weight, regulariser in (
            ("sparsity", self.config.sparsity_weight, sparsity_loss),
            ("covariance", self.config.covariance_weight, covariance_loss),
        ):
            if weight:
                parts[name] = regulariser(sources).mean()
                loss = loss + weight * parts[name]
        if video is None:
            return {"loss": loss} | parts
        videos = [video]
        if self.config.judge_both or self.config.contrast_weight:
            videos.append(model.classifier.visual_tower(batch["frames"][:, 1]))
        heard = model.hear(sources)
        parts["classification"] = self._classify(model, heard, videos, sources, assignment, batch)
        loss = loss + self.config.classification_weight * parts["classification"]
        if self.config.contrast_weight:
            seen = torch.stack([shared_embedding(video.embeddings) for video in videos], dim=1)
            scale, gather = model.classifier.contrast_scale, self._context.gather
            parts["contrast"] = contrast(seen, heard.shared, sources, assignment, batch, scale, gather)
            loss = loss + self.config.contrast_weight * parts["contrast"]
        return {"loss": loss} | parts

    def _classify(
        self,
        model: SeparationModel,
        heard: Heard,
        videos: list[TowerOutput],
        sources: Tensor,
        assignment: Tensor,
        batch: Batch,
    ) -> Tensor:
        """[] mean cross-entropy of the verdicts against the first mixture's frames, or against both."""
        weights = source_weights(sources) if self.config.weigh_by_power else None
        total, cross_entropy = torch.zeros((), device=sources.device), CROSS_ENTROPIES[self.config.cross_entropy]
        sides = 2 if self.config.judge_both else 1
        for side, video in enumerate(videos[:sides]):
            labels = assignment[:, side] * batch["on_screen"][:, side, None]
            per_example = cross_entropy(model.classifier.judge(heard, video).logits, labels, weights)
            total = total + (per_example if side == 0 else per_example * batch["mom_weight"]).mean()
        return total / sides

    @torch.no_grad()
    def conclude(
        self,
        model: SeparationModel,
        train_set: ClipSet[Clip],
        validation_set: ClipSet[Clip],
        seed: int,
        context: Context,
    ) -> dict[str, float]:
        """Fit the verdicts to held-out videos; return what they reach there.

        Off-screen examples are LOff and SOff in equal numbers, or SOff alone where no held-out clip has such a label.
        """
        config = self.config.calibration
        if self.config.phase == "audio" or config.osr_db is None or validation_set.num_videos < MIN_VIDEOS:
            return {}
        model.eval()
        model.classifier.calibrate(*UNCALIBRATED)
        drawer = MixtureDrawer(self.config.mixtures, validation_set, self.config.augmentation)
        rng = step_rng(seed, CALIBRATION_STREAM)
        off_kinds = [kind for kind in ("LOff", "SOff") if kind == "SOff" or len(drawer.pools[kind])]
        on_kinds = ["LOn" if len(drawer.pools["LOn"]) else "NOn"]
        on, off, alone = (
            score_mixtures(model, drawer, kinds, is_alone, rng, config.num_examples)
            for kinds, is_alone in ((on_kinds, False), (off_kinds, False), (on_kinds, True))
        )
        point = fit_verdicts(on, off, alone, config)
        model.classifier.calibrate(*point)
        reached = {
            "improvement_db": on.improvement_db(point),
            "osr_db": off.suppression_db(point),
            "level_db": alone.level_db(point),
        }
        return {f"calibrated_{name}": float(np.nanmedian(values)) for name, values in reached.items()} | {
            f"calibration_{name}": value for name, value in point._asdict().items()
        }


def _trained(workspace: Workspace, name: str, learner: Any, what: str, found: Any, expected: Any) -> Any:
    """The model that a learner has trained.

    Raises:
        ConfigError: what is `found` of its settings is not what separation's are expected to share with it.
    """
    if found != expected:
        raise ConfigError(
            f"{workspace.uri('models', name)}: {what} of {found}, separation.model has {expected}. Make them equal, or "
            f"train a {learner.name} model with these under another name and start from that."
        )
    model = learner.model()
    load_weights(model, workspace, f"models/{name}")
    return model
