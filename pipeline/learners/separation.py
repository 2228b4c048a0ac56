"""On-screen sound separation: mixtures of mixtures, MixIT, and a classifier that learns from MixIT's own assignment.

The four kinds of first mixture (AudioScope, arXiv:2011.01143, section 3): NOn, a selected clip with its own sound;
SOff, a selected clip's frames with another video's sound; LOn and LOff, clips that people labelled on-screen only and
off-screen only. The second mixture is always the sound of another video. Labelled clips also come alone ("single
mixtures": the second mixture is silent).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from pipeline.clip_specs import ClipSpec
from pipeline.clips.samples import Clip
from pipeline.config import Count, Share, config_dataclass
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import augment_frames, augment_waveform, stack_frames, stack_waveforms
from pipeline.learners.coincidence import CoincidenceLearner
from pipeline.learners.loading import rebuild
from pipeline.losses import onscreen_cross_entropy
from pipeline.losses.mixit import all_to_first, assigned_loss, best_assignment
from pipeline.metrics.si_snr import off_screen_suppression_ratio, si_snr
from pipeline.models.separator import SeparationConfig, SeparationModel, on_screen_estimate
from pipeline.models.tdcn import TDCNConfig
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.checkpointing import load_weights
from pipeline.training.protocols import Batch, Learner, TrainingConfig

CROSS_ENTROPIES = {
    "exact": onscreen_cross_entropy.exact_cross_entropy,
    "multiple_instance": onscreen_cross_entropy.multiple_instance_cross_entropy,
    "active_combinations": onscreen_cross_entropy.active_combinations_cross_entropy,
}
ON_KINDS = ("NOn", "LOn")


@config_dataclass
class SeparationLearnerConfig:
    """Model, objective and training of the separation learner."""

    model: SeparationConfig = dataclasses.field(default_factory=SeparationConfig)
    """Separator and classifier."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(num_steps=500_000, batch_size=256)
    )
    """Length and pace."""
    cross_entropy: Literal["exact", "multiple_instance", "active_combinations"] = "active_combinations"
    """How the classifier learns from the assignment: exact keeps more on-screen sound, the others suppress more."""
    classification_weight: float = 1.0
    """Weight of the classification loss (a few nats) beside the separation loss (tens of dB)."""
    soff_fraction: Share = 0.25
    """Share of SOff among the unlabelled examples: more suppresses off-screen sound better, and on-screen sound too."""
    labelled_fraction: Share = 0.5
    """Share of LOn and LOff examples, half of them single mixtures; unlabelled ones where there are no labels."""
    loff_fraction: Share = 0.5
    """Share of LOff among the labelled examples: more suppresses off-screen sound better, and on-screen sound too."""
    weigh_by_power: bool = False
    """Weigh each source's cross-entropy by its share of power (ours): MixIT assigns near-silent sources by chance."""
    crop_frames: Count | None = None
    """Train on this many consecutive frames and the sound of their time, not the whole clip. Fewer is faster."""
    first_model: str | None = "coincidence"
    """Coincidence model whose towers the classifier starts from; None starts from noise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """One training example: clip numbers and what the first mixture is."""

    kind: str
    first: int
    """Clip that gives the frames."""
    sound: int
    """Clip that gives the first mixture's sound: `first`, but for SOff."""
    second: int | None
    """Clip that gives the second mixture's sound; None in a single mixture."""
    seed: int
    """Of the crop and the augmentation."""


def source_weights(sources: Tensor) -> Tensor:
    """[B, S] power of each of the sources [B, S, T] over their mean power, without gradient."""
    power = sources.detach().square().sum(dim=-1) + 1e-8
    return power / power.mean(dim=-1, keepdim=True)


TINY = SeparationLearnerConfig(
    model=SeparationConfig(
        basis="stft",
        hop_ms=16.0,
        tdcn=TDCNConfig(bottleneck=128, hidden=256, num_repeats=2, num_dilations=6),
        towers=CoincidenceLearner.presets["tiny"].model,
        cosine_feature=True,
        max_boost_db=20.0,
        freeze_towers=True,
        detach_sources_for_classifier=True,
    ),
    cross_entropy="exact",
    weigh_by_power=True,
    crop_frames=2,
    training=TrainingConfig(
        num_steps=400, batch_size=12, learning_rate=2e-3, warmup_steps=20, validate_every=100, num_validation_batches=4
    ),
)
CONTRASTIVE = SeparationConfig(towers=CoincidenceLearner.presets["contrastive"].model)


class SeparationLearner(Learner[SeparationModel]):
    """Separates mixtures of mixtures and judges each source against the frames."""

    name = "separation"
    config_class = SeparationLearnerConfig
    presets: ClassVar = {"tiny": TINY, "small": TINY, "contrastive": SeparationLearnerConfig(model=CONTRASTIVE)}
    reads = "selection"

    def __init__(self, config: SeparationLearnerConfig) -> None:
        self.config = config
        self.training = config.training

    def model(self) -> SeparationModel:
        """A fresh separator and classifier."""
        return SeparationModel(self.config.model)

    def builds_on(self) -> dict[str, str]:
        """The coincidence model whose towers the classifier starts from."""
        return {self.config.first_model: "coincidence"} if self.config.first_model else {}

    def check_settings(self, spec: ClipSpec, configs: Mapping[str, Any]) -> None:
        """Raises a ConfigError if the coincidence model that it starts from is configured with other towers."""
        first, ours = configs["coincidence"].model.towers, self.config.model.towers.towers
        if self.config.first_model == "coincidence" and first != ours:
            raise ConfigError(
                f"coincidence.model = {first}, separation.model.towers = {ours}: expected the same, because separation "
                "starts from the coincidence model's towers. Set both, or name another separation.first_model."
            )

    def initialise(self, model: SeparationModel, workspace: Workspace) -> None:
        """Start the classifier's towers from the coincidence model.

        Raises:
            ConfigError: that model has not been trained, is no coincidence model, or has towers of another shape.
            DataError: its file is damaged.
        """
        if self.config.first_model is None:
            return
        folder = f"models/{self.config.first_model}"
        learner: CoincidenceLearner = rebuild(workspace, self.config.first_model, "coincidence")
        found, expected = learner.config.model.towers, self.config.model.towers.towers
        if found != expected:
            raise ConfigError(
                f"{workspace.uri(folder)}: towers of {found}, separation.model.towers has {expected}. Train a "
                "coincidence model with these, under another name, and set separation.first_model to it."
            )
        towers = learner.model()
        load_weights(towers, workspace, folder)
        model.load_towers(towers)

    def draw(self, clips: ClipSet, rng: np.random.Generator, count: int) -> list[Recipe]:
        """`count` recipes: a function of the generator and the set alone."""
        kept = np.flatnonzero(clips.rows.column("kept"))
        if not len(kept):  # a small split of which only labelled clips are left
            kept = np.arange(len(clips))
        label = clips.rows.column("label")
        pools = {  # by arrow: this runs at every step, over every clip of the selection
            kind: np.flatnonzero(pc.fill_null(pc.equal(label, name), False))
            for kind, name in (("LOn", "on_screen"), ("LOff", "off_screen"))
        }
        recipes = []
        for _ in range(count):
            labelled = rng.random() < self.config.labelled_fraction
            wanted = "LOff" if rng.random() < self.config.loff_fraction else "LOn"
            alone = rng.random() < 0.5
            soff = rng.random() < self.config.soff_fraction
            if labelled and len(pools[wanted]):
                kind, first = wanted, int(rng.choice(pools[wanted]))
            else:
                # SOff takes three videos: the second sound must not be the one that belongs to the frames
                kind = "SOff" if soff and clips.num_videos > 2 else "NOn"
                first, alone = int(rng.choice(kept)), False
            sound = clips.draw_other(rng, first) if kind == "SOff" else first
            second = None if alone else clips.draw_other(rng, first, sound)
            recipes.append(Recipe(kind, first, sound, second, int(rng.integers(2**63))))
        return recipes

    def batch(self, clips: ClipSet, rng: np.random.Generator, count: int, rows: slice, augment: bool) -> Batch:
        """references [B, 2, T], frames [B, K, 3, H, W], single [B] bool, on_screen [B] bool (NOn, LOn)."""
        recipes = self.draw(clips, rng, count)[rows]
        rngs = [np.random.default_rng(recipe.seed) for recipe in recipes]
        wanted = {n: None for recipe in recipes for n in (recipe.first, recipe.sound, recipe.second) if n is not None}
        loaded = dict(zip(wanted, clips.read_many(wanted), strict=True))
        frames = stack_frames([loaded[recipe.first] for recipe in recipes])
        total = frames.shape[1]
        num_frames = min(self.config.crop_frames or total, total)
        starts = [int(rng.integers(total - num_frames + 1)) for rng in rngs]
        frames = torch.stack([picture[s : s + num_frames] for picture, s in zip(frames, starts, strict=True)])
        references = [
            self._references(loaded, recipe, start / total, num_frames / total, rng if augment else None)
            for recipe, start, rng in zip(recipes, starts, rngs, strict=True)
        ]
        return {
            "references": torch.stack(references),
            "frames": augment_frames(frames, rngs) if augment else frames,
            "single": torch.tensor([recipe.second is None for recipe in recipes]),
            "on_screen": torch.tensor([recipe.kind in ON_KINDS for recipe in recipes]),
        }

    def _references(
        self, loaded: dict[int, Clip], recipe: Recipe, start: float, share: float, rng: np.random.Generator | None
    ) -> Tensor:
        """[2, T] both mixtures of a recipe over `share` of the clip from `start` on, augmented if `rng` is given."""
        out: list[np.ndarray] = []
        for number in (recipe.sound, recipe.second):
            if number is None:
                out.append(np.zeros_like(out[0]))
                continue
            samples = loaded[number].waveform
            first, length = round(start * len(samples)), round(share * len(samples))
            whole = samples[first : first + length]
            out.append(whole if rng is None else augment_waveform(samples, first, length, rng))
        return stack_waveforms(out)

    def loss(self, model: SeparationModel, batch: Batch) -> dict[str, Tensor]:
        """MixIT's separation loss (single mixtures have none) and the classification loss on its assignment."""
        references, single, on_screen = batch["references"], batch["single"], batch["on_screen"]
        output = model(references.sum(dim=1), batch["frames"])
        found = best_assignment(references, output.sources)
        assignment = torch.where(single[:, None, None], all_to_first(output.sources), found)
        per_example = assigned_loss(references, output.sources, assignment)
        # a single mixture's loss is constant: mixture consistency makes its sources add up to it
        separation = (per_example * ~single).sum() / (~single).sum().clamp(min=1)
        labels = assignment[:, 0] * on_screen[:, None]
        weights = source_weights(output.sources) if self.config.weigh_by_power else None
        classification = CROSS_ENTROPIES[self.config.cross_entropy](output.logits, labels, weights).mean()
        loss = separation + self.config.classification_weight * classification
        return {"loss": loss, "separation_db": separation, "classification": classification}

    @torch.no_grad()
    def evaluate(self, model: SeparationModel, examples: list[Clip]) -> dict[str, list[dict[str, Any]]]:
        """Rows of the tables `examples` and `sources` for frozen examples, all of one evaluation set."""
        device = next(model.parameters()).device
        sounds = [example.waveforms for example in examples]
        first = stack_waveforms([of["first.flac"] for of in sounds]).to(device)
        second = stack_waveforms([of.get("second.flac", np.zeros_like(of["first.flac"])) for of in sounds]).to(device)
        references, mixture = torch.stack([first, second], dim=1), first + second
        output = model(mixture, stack_frames(examples).to(device))
        estimate = on_screen_estimate(output)
        assignment = best_assignment(references, output.sources)
        probability, power = torch.sigmoid(output.logits), mixture.square().sum(dim=-1)
        weight = output.sources.square().sum(dim=-1) / power[:, None]
        rows: dict[str, list[dict[str, Any]]] = {"examples": [], "sources": []}
        for i, example in enumerate(examples):
            on, single = example.facts["eval_set"].startswith("on"), "second.flac" not in example.waveforms
            row: dict[str, Any] = {"example_id": example.key}
            if on:
                row["si_snr_db"] = float(si_snr(first[i], estimate[i]))
                row["si_snr_input_db"] = float(si_snr(first[i], mixture[i]))
                if not single:
                    oracle = (assignment[i, 0, :, None] * output.sources[i]).sum(dim=0)
                    row["si_snr_oracle_db"] = float(si_snr(first[i], oracle))
            else:
                row["osr_db"] = float(off_screen_suppression_ratio(mixture[i], estimate[i]))
            rows["examples"].append(row)
            truth = torch.ones_like(assignment[i, 0]) if single else assignment[i, 0]
            for source in range(output.sources.shape[1]):
                row = {"example_id": example.key, "source": source, "on_screen": bool(on and truth[source] > 0.5)}
                row |= {"probability": float(probability[i, source]), "weight": float(weight[i, source])}
                rows["sources"].append(row)
        return rows
