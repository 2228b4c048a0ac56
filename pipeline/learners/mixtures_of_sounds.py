"""Clips of sound alone -> mixtures to separate: for MixIT, and where the sources are known for a supervised loss.

A mixture is the sum of the clips of one `mixture` of a list of mixtures with known sources (FUSS), at one start; any
other clip is a mixture by itself, of unknown sources. An unsupervised example (MixIT, Wisdom et al. 2020,
arXiv:2006.12701) is a mixture of two or more such mixtures, of different recordings. A supervised one is a single
mixture whose sources are known. A batch may have both.
"""

import dataclasses
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from pipeline.audio import db_to_gain, num_samples
from pipeline.clips.samples import Clip, EncodedClip
from pipeline.config import Positive, Share, config_dataclass
from pipeline.errors import ConfigError
from pipeline.learners.augmentation import AugmentationConfig, augment_waveform
from pipeline.losses.pit import best_matching, matched_loss
from pipeline.models.separator import SeparationConfig
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch


@config_dataclass
class SoundsConfig:
    """How sounds are mixed."""

    num_mixtures: Annotated[int, Field(ge=2)] = 2
    """Mixtures that are added up in an unsupervised example; more make busier scenes than those to be separated."""
    crop_s: Positive | None = None
    """Train on this many seconds of a clip, not the whole of it. Fewer is faster."""
    level_db: NonNegativeFloat = 0.0
    """Each mixture is made louder or quieter by up to this, drawn evenly, in training: few sounds become more."""
    supervised_fraction: Share = 0.0
    """Share of examples whose known sources are matched (PIT), where the collection lists any with at most as many
    sources as the model has."""


@dataclasses.dataclass(frozen=True, slots=True)
class SoundRecipe:
    """One training example."""

    mixtures: tuple[tuple[int, ...], ...]
    """Numbers of the clips that each mixture is the sum of."""
    is_supervised: bool
    """Whether it is one mixture whose clips are its sources."""
    seed: int
    """Of the crop and the augmentation."""


class SoundDrawer:
    """Draws examples from a set of clips of sound alone, a function of the generator and the set alone.

    Args:
        clips: with the columns `mixture`, `recording` and `start_s` (see `clipsets.load_splits`).
        model: gives the number of sources and the sample rate.
    Raises:
        ConfigError: fewer recordings than an example takes.
    """

    def __init__(
        self, config: SoundsConfig, clips: ClipSet[Clip], augmentation: AugmentationConfig, model: SeparationConfig
    ) -> None:
        self.config, self.clips, self.augmentation = config, clips, augmentation
        self.num_sources, self.rate_hz = model.num_sources, model.towers.rate_hz
        self.mixtures = list_mixtures(clips)
        self.known = [
            number
            for number, mixtures in enumerate(self.mixtures)
            if mixtures[0].are_known and max(len(mixture.clips) for mixture in mixtures) <= self.num_sources
        ]
        if len(self.mixtures) < config.num_mixtures:
            raise ConfigError(
                f"sounds: {len(self.mixtures)} recordings in a split, expected {config.num_mixtures} or more to mix. "
                "Add sounds, or lower separation.sounds.num_mixtures."
            )

    def draw(self, rng: np.random.Generator, count: int) -> list[SoundRecipe]:
        """`count` recipes."""
        return [self._draw(rng) for _ in range(count)]

    def _draw(self, rng: np.random.Generator) -> SoundRecipe:
        is_supervised = bool(rng.random() < self.config.supervised_fraction and self.known)
        if is_supervised:
            recordings = [int(rng.choice(self.known))]
        else:
            recordings = rng.choice(len(self.mixtures), self.config.num_mixtures, replace=False).tolist()
        drawn = [self.mixtures[recording] for recording in recordings]
        mixtures = tuple(of[int(rng.integers(len(of)))].clips for of in drawn)
        return SoundRecipe(mixtures, is_supervised, int(rng.integers(2**63)))

    def batch(self, recipes: list[SoundRecipe], rows: slice, augment: bool) -> Batch:
        """The given rows of the tensors of B recipes.

        | name | shape | meaning |
        |---|---|---|
        | references | [B, N, T] | the mixtures that are added up; of a supervised example one, others silent |
        | mom_weight | [B] | 1 |
        | known | [B, S, T] | sources of a supervised example, else silent; only with `supervised_fraction` |
        | is_supervised | [B] | only with `supervised_fraction` |

        Raises:
            ConfigError: the clips have another sample rate than the model.
        """
        recipes = recipes[rows]
        numbers = list(dict.fromkeys(number for recipe in recipes for of in recipe.mixtures for number in of))
        loaded = dict(zip(numbers, self.clips.open_many(numbers), strict=True))
        whole, rate_hz = loaded[numbers[0]].num_samples, loaded[numbers[0]].facts["sample_rate_hz"]
        if rate_hz != self.rate_hz:
            raise ConfigError(
                f"clips.sounds.sample_rate_hz = {rate_hz}, separation.model.towers.rate_hz = {self.rate_hz}: expected "
                "the same. Cut the sounds anew in another root, or change the model."
            )
        length = whole if self.config.crop_s is None else min(whole, num_samples(self.config.crop_s, rate_hz))
        references = torch.zeros(len(recipes), self.config.num_mixtures, length)
        known = torch.zeros(len(recipes), self.num_sources, length)
        for row, recipe in enumerate(recipes):
            for place, mixture in enumerate(recipe.mixtures):
                sources = self._sources([loaded[number] for number in mixture], length, [recipe.seed, place], augment)
                references[row, place] = sources.sum(dim=0)
                if recipe.is_supervised:
                    known[row, : len(sources)] = sources
        batch = {"references": references, "mom_weight": torch.ones(len(recipes))}
        if self.config.supervised_fraction:
            flags = torch.tensor([recipe.is_supervised for recipe in recipes])
            batch |= {"known": known, "is_supervised": flags}
        return batch

    def _sources(self, clips: list[Clip | EncodedClip], length: int, seed: list[int], augment: bool) -> Tensor:
        """[R, length] of a mixture's sources: the same crop, speed and gain for all, so that they stay in time."""
        start = int(np.random.default_rng(seed).integers(clips[0].num_samples - length + 1))
        if not augment:
            return torch.from_numpy(np.stack([clip.take_sound(start, length) for clip in clips]))
        level_db = np.random.default_rng([*seed, 1]).uniform(-self.config.level_db, self.config.level_db)
        played = [
            augment_waveform(of, start, length, self.augmentation, np.random.default_rng([*seed, 2])) for of in clips
        ]
        return torch.from_numpy(np.stack(played)) * db_to_gain(level_db)


@dataclasses.dataclass(frozen=True, slots=True)
class SoundMixture:
    """A mixture that clips add up to."""

    clips: tuple[int, ...]
    """Their numbers in the set."""
    are_known: bool
    """Whether they are its sources, as a list states; else it is one clip of unknown sources."""
    recording: str
    """What it is from: a recording, or the list's mixture. Mixtures of one recording are not added up."""


def list_mixtures(clips: ClipSet[Clip]) -> list[list[SoundMixture]]:
    """Of each recording, or mixture of a list, its mixtures in time."""
    columns = (clips.rows[name].to_pylist() for name in ("mixture", "recording", "start_s", "video_id"))
    found: dict[tuple[bool, str], dict[tuple[float, str], list[int]]] = {}
    for number, (mixture, recording, start_s, video) in enumerate(zip(*columns, strict=True)):
        # clips of a listed mixture that begin at one time are added up; any other is a mixture by itself
        owner, moment = ((True, mixture), (start_s, "")) if mixture else ((False, recording or video), (start_s, video))
        found.setdefault(owner, {}).setdefault(moment, []).append(number)
    return [
        [SoundMixture(tuple(numbers), are_known, name) for _, numbers in sorted(by_moment.items())]
        for (are_known, name), by_moment in found.items()
    ]


def with_known_sources(separation: Tensor, sources: Tensor, batch: Batch) -> Tensor:
    """[B] the separation loss in dB: of supervised examples that of their matched sources, else the given one.

    Args:
        separation: [B] MixIT's loss.
        sources: [B, S, T] separated ones.
        batch: of `SoundDrawer.batch`; without `known` the loss stays as it is.
    """
    if "known" not in batch:
        return separation
    known = batch["known"]
    return torch.where(batch["is_supervised"], matched_loss(known, sources, best_matching(known, sources)), separation)
