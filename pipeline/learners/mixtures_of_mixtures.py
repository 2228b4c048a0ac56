"""Clips -> mixtures of mixtures: which clips are added up, and as what.

The four kinds of first mixture (AudioScope, arXiv:2011.01143, section 3): NOn, a selected clip with its own sound;
SOff, a selected clip's frames with another video's sound; LOn and LOff, clips that people labelled on-screen only and
off-screen only. The second mixture is always the sound of another video. Labelled clips also come alone ("single
mixtures": the second mixture is silent).
"""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from pipeline.clips.samples import Clip, EncodedClip
from pipeline.config import Count, Share, config_dataclass
from pipeline.learners.augmentation import AugmentationConfig, augment_waveform, pack_frames, stack_waveforms
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch

ON_KINDS = ("NOn", "LOn")


@config_dataclass
class MixturesConfig:
    """Which kinds of mixtures a batch has."""

    soff_fraction: Share = 0.25
    """Share of SOff among the unlabelled examples: more suppresses off-screen sound better, and on-screen sound too."""
    labelled_fraction: Share = 0.5
    """Share of LOn and LOff examples, half of them single mixtures; unlabelled ones where there are no labels."""
    loff_fraction: Share = 0.5
    """Share of LOff among the labelled examples: more suppresses off-screen sound better, and on-screen sound too."""
    crop_frames: Count | None = None
    """Train on this many consecutive frames and the sound of their time, not the whole clip. Fewer is faster."""


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


class MixtureDrawer:
    """Draws examples from a set of clips, a function of the generator and the set alone."""

    def __init__(
        self, config: MixturesConfig, clips: ClipSet[Clip], augmentation: AugmentationConfig, with_frames: bool = True
    ) -> None:
        self.config, self.clips, self.augmentation, self.with_frames = config, clips, augmentation, with_frames
        kept = np.flatnonzero(clips.rows.column("kept"))
        self.kept = kept if len(kept) else np.arange(len(clips))  # a small split of which only labelled clips are left
        label = clips.rows.column("label")
        self.pools = {
            kind: np.flatnonzero(pc.fill_null(pc.equal(label, name), False))
            for kind, name in (("LOn", "on_screen"), ("LOff", "off_screen"))
        }
        self.is_off = np.zeros(len(clips), bool)
        self.is_off[self.pools["LOff"]] = True

    def draw(self, rng: np.random.Generator, count: int) -> list[Recipe]:
        """`count` recipes."""
        return [self._draw(rng) for _ in range(count)]

    def _draw(self, rng: np.random.Generator) -> Recipe:
        config = self.config
        labelled = rng.random() < config.labelled_fraction
        kind = "LOff" if rng.random() < config.loff_fraction else "LOn"
        alone = rng.random() < 0.5
        soff = rng.random() < config.soff_fraction
        if not labelled or not len(self.pools[kind]):
            kind, alone = "SOff" if soff else "NOn", False
        return self.recipe(rng, kind, alone)

    def recipe(self, rng: np.random.Generator, kind: str, alone: bool) -> Recipe:
        """A recipe of a kind that has clips, alone or with a second mixture."""
        pool = self.pools.get(kind, self.kept)
        first = int(pool[rng.integers(len(pool))])
        # SOff takes three videos: the second sound must not be the one that belongs to the frames
        kind = "NOn" if kind == "SOff" and self.clips.num_videos < 3 else kind
        sound = self.clips.draw_other(rng, first) if kind == "SOff" else first
        second = None if alone else self.clips.draw_other(rng, first, sound)
        return Recipe(kind, first, sound, second, int(rng.integers(2**63)))

    def batch(self, recipes: list[Recipe], rows: slice, augment: bool, whole: bool = False) -> Batch:
        """The given rows of the tensors of B recipes; of whole clips, or of crops as the config has it.

        | name | shape | meaning |
        |---|---|---|
        | references | [B, 2, T] | both mixtures; the second is silent in a single mixture |
        | mom_weight | [B] | 0 for a single mixture, else B over the number of others: a mean over them alone |
        | frames | [B, 2, K, 3, H, W] | of the clips that the mixtures are from, packed; black in a single one |
        | video | [B, 2] | numbers of the frames' videos; -1 in a single one |
        | on_screen | [B, 2] | whether the mixture belongs to its frames: NOn, LOn; the second, unless it is LOff |
        """
        moms = np.array([recipe.second is not None for recipe in recipes])
        mom_weight = torch.from_numpy(moms / max(moms.mean(), 1 / len(moms))).float()[rows]
        recipes = recipes[rows]
        rngs = [np.random.default_rng(recipe.seed) for recipe in recipes]
        wanted = {n: None for recipe in recipes for n in (recipe.first, recipe.sound, recipe.second) if n is not None}
        loaded = dict(zip(wanted, self.clips.open_many(wanted), strict=True))
        total = loaded[recipes[0].first].num_frames
        num_frames = total if whole else min(self.config.crop_frames or total, total)
        starts = [int(rng.integers(total - num_frames + 1)) for rng in rngs]
        references = [
            self._references(loaded, recipe, start / total, num_frames / total, rng if augment else None)
            for recipe, start, rng in zip(recipes, starts, rngs, strict=True)
        ]
        batch = {"references": torch.stack(references), "mom_weight": mom_weight}
        if not self.with_frames:
            return batch
        seconds = [recipe.first if recipe.second is None else recipe.second for recipe in recipes]
        firsts = [recipe.first for recipe in recipes]
        seen = [
            loaded[number].take_frames(start, num_frames)
            for pair, start in zip(zip(firsts, seconds, strict=True), starts, strict=True)
            for number in pair
        ]
        of_each = [rng for rng in rngs for _ in range(2)]  # an example's own generator, for one picture after the other
        packed = pack_frames(seen, self.augmentation if augment else None, of_each)
        pictures = {name: value.unflatten(0, (-1, 2)) for name, value in packed.items()}
        single = mom_weight == 0
        pictures["frames"][single, 1] = 0
        video = torch.from_numpy(self.clips.video_index[np.array([firsts, seconds]).T].astype(np.int64))
        video[single, 1] = -1
        on_screen = np.array([[recipe.kind in ON_KINDS for recipe in recipes], ~self.is_off[seconds]]).T
        return batch | pictures | {"video": video, "on_screen": torch.from_numpy(on_screen)}

    def _references(
        self,
        loaded: dict[int, Clip | EncodedClip],
        recipe: Recipe,
        start: float,
        share: float,
        rng: np.random.Generator | None,
    ) -> Tensor:
        """[2, T] both mixtures of a recipe over `share` of the clip from `start` on, augmented if `rng` is given."""
        out: list[np.ndarray] = []
        for number in (recipe.sound, recipe.second):
            if number is None:
                out.append(np.zeros_like(out[0]))
                continue
            clip = loaded[number]
            first, length = round(start * clip.num_samples), round(share * clip.num_samples)
            if rng is None:
                out.append(clip.take_sound(first, length))
            else:
                out.append(augment_waveform(clip, first, length, self.augmentation, rng))
        return stack_waveforms(out)
