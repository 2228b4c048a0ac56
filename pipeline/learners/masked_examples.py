"""Clips with masks -> training examples: what a picture shows, which of it sounds, and which of it does not.

In most clips all that is in view also sounds, so that pictures alone are nearly enough to find it. The examples made
here, all of them ours, have labels that follow from the masks, and need the sound: a clip that is muted, in which
nothing sounds; a clip with the sound of another kind of thing, which is not in view; and, with the sound of either or
of both, a clip into which the things of another one are pasted by their masks (Ghiasi et al. 2021, arXiv:2012.07177),
or two clips side by side, in which what never sounds is in view too. In each of them a thing may have the sound of
another of its kind, which sounds at other moments: then what moves in a frame does not say what sounds.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from pipeline.config import Share, config_dataclass
from pipeline.errors import DataError
from pipeline.learners.augmentation import AugmentationConfig, draw_crop, pack_frames, stack_waveforms
from pipeline.learners.composed_clips import keep_first_mask, lend, paste, play, put_beside
from pipeline.masks.masked_clips import MaskedClip
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch

Kind = Literal["own", "muted", "foreign", "pasted", "beside"]
HEARD = ("first", "second", "both")
NUM_TRIES = 8  # other videos looked at for one of other categories; with ten that occur equally often nearly all differ


@config_dataclass
class MaskedExamplesConfig:
    """How clips with masks are varied and put together for training; by default not at all, as published."""

    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest share of a picture's area that fills the frame, drawn for each clip; 1 crops nothing."""
    muted_fraction: Share = 0.0
    """Share of training clips without their sound, and so with empty masks (ours): more keeps silent videos empty."""
    foreign_fraction: Share = 0.0
    """Share of training clips with the sound of a video of other categories, and empty masks (ours). Only where masks
    have categories; wrong where a thing of that category is in view and silent."""
    pasted_fraction: Share = 0.0
    """Share of training clips into which another video's things are pasted by their masks, with the sound of one of the
    two or of both (ours): more makes the network listen for which of two things sounds."""
    beside_fraction: Share = 0.0
    """Share of training clips that are shown beside another video's, each in half of the picture, with the sound of one
    of the two or of both (ours). As pasting, but things are also in view while they are silent, and narrower."""

    lent_fraction: Share = 0.0
    """Share of the clips heard whose sound is that of another video of the same one category (ours): more teaches that
    the sound decides, and not whether a thing looks as if it sounded. Only where masks have categories, and for clips
    of one; wrong where a second thing of that category is in view and silent."""

    def __post_init__(self) -> None:
        total = self.muted_fraction + self.foreign_fraction + self.pasted_fraction + self.beside_fraction
        if total > 1 + 1e-9:
            raise ValueError(
                f"muted_fraction + foreign_fraction + pasted_fraction + beside_fraction = {total:g}: expected at most "
                "1, because the rest are clips as they are."
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """One training example: clip numbers and what is made of them."""

    kind: Kind
    first: int
    """Clip that is seen."""
    second: int | None
    """Clip that is heard (foreign), whose things are pasted (pasted), or that is also seen (beside)."""
    seed: int
    """Of all that is drawn for it."""
    first_lender: int | None = None
    """Clip whose sound the first one has; None: its own."""
    second_lender: int | None = None
    """The same of the second."""

    def clips(self) -> list[int]:
        """All clips that it is made of."""
        numbers = (self.first, self.second, self.first_lender, self.second_lender)
        return [number for number in numbers if number is not None]


class ExampleDrawer:
    """Draws examples from a set of clips with masks, a function of the generator and the set alone."""

    def __init__(
        self,
        config: MaskedExamplesConfig,
        augmentation: AugmentationConfig,
        clips: ClipSet[MaskedClip],
        first_only: bool = False,
    ) -> None:
        """`first_only`: use no mask but the first that a clip has."""
        self.config, self.augmentation, self.clips, self.first_only = config, augmentation, clips, first_only
        self.categories = [frozenset(names) for names in clips.rows["categories"].to_pylist()]
        self._alike: dict[frozenset[str], list[int]] = collections.defaultdict(list)
        for number, names in enumerate(self.categories):
            if len(names) == 1:  # of two, nobody knows which one sounds in which frame
                self._alike[names].append(number)

    def draw(self, rng: np.random.Generator, count: int) -> list[Recipe]:
        """Recipes of clips of `count` different videos; fewer where there are fewer."""
        return [self._draw(rng, int(number)) for number in self.clips.draw(rng, count)]

    def _draw(self, rng: np.random.Generator, first: int) -> Recipe:
        recipe = self._draw_kind(rng, first)
        if not self.config.lent_fraction or recipe.kind in ("muted", "foreign"):
            return recipe
        first_lender, second_lender = (self._draw_lender(rng, number) for number in (first, recipe.second))
        return dataclasses.replace(recipe, first_lender=first_lender, second_lender=second_lender)

    def _draw_lender(self, rng: np.random.Generator, number: int | None) -> int | None:
        """A clip of another video of the same one category, for `lent_fraction` of the clips that have one."""
        if rng.random() >= self.config.lent_fraction or number is None:
            return None
        alike = self._alike[self.categories[number]] if len(self.categories[number]) == 1 else []
        video = self.clips.video_index
        others = [other for other in alike if video[other] != video[number]]
        return others[rng.integers(len(others))] if others else None

    def _draw_kind(self, rng: np.random.Generator, first: int) -> Recipe:
        config, place, seed = self.config, rng.random(), int(rng.integers(2**63))
        kinds: list[tuple[Kind, float]] = [
            ("muted", config.muted_fraction),
            ("foreign", config.foreign_fraction),
            ("pasted", config.pasted_fraction),
            ("beside", config.beside_fraction),
        ]
        end = 0.0
        for kind, share in kinds:
            end += share
            if place < end:
                second = None if kind == "muted" else self._draw_other(rng, first, needs_categories=kind == "foreign")
                if kind == "muted" or second is not None:
                    return Recipe(kind, first, second, seed)
                break
        return Recipe("own", first, None, seed)

    def _draw_other(self, rng: np.random.Generator, first: int, needs_categories: bool) -> int | None:
        """A clip of another video that shares no category with a clip; None if none is found."""
        own = self.categories[first]
        if self.clips.num_videos < 2 or (needs_categories and not own):
            return None
        for _ in range(NUM_TRIES):
            other = self.clips.draw_other(rng, first)
            found = self.categories[other]
            if not own & found and (found or not needs_categories):
                return other
        return None

    def batch(self, recipes: Sequence[Recipe], augment: bool) -> Batch:
        """The tensors of B recipes.

        | name | shape | meaning |
        |---|---|---|
        | frames | [B, K, 3, H, W] | packed by `pack_frames`, with `layout` and `gain` if they vary |
        | crop | [B, 4] | `draw_crop`; only where pictures are cropped |
        | waveform | [B, T] | in [-1, 1), or beyond where two sounds are added up |
        | masks | [B, K, H, W] | uint8: 1 where what is seen sounds |
        | mask_valid | [B, K] | bool: whether it is known what sounds in that frame |

        Raises:
            DataError: a clip of other sizes than the first.
        """
        wanted = list({n: None for recipe in recipes for n in recipe.clips()})
        loaded = dict(zip(wanted, self.clips.read_many(wanted), strict=True))
        _check_sizes([loaded[number] for number in wanted])
        if self.first_only:
            loaded = {number: keep_first_mask(clip) for number, clip in loaded.items()}
        rngs = [np.random.default_rng(recipe.seed) for recipe in recipes]
        made = [
            _make(recipe, loaded, self.augmentation.speed if augment else 0.0, rng)
            for recipe, rng in zip(recipes, rngs, strict=True)
        ]
        batch = pack_frames([each.frames for each in made], self.augmentation if augment else None, rngs)
        if augment and self.config.smallest_crop < 1:
            batch["crop"] = torch.tensor([draw_crop(self.config.smallest_crop, rng) for rng in rngs])
        return batch | {
            "waveform": stack_waveforms([each.waveform for each in made]),
            "masks": torch.from_numpy(np.stack([each.masks for each in made]).astype(np.uint8)),
            "mask_valid": torch.from_numpy(np.stack([each.mask_valid for each in made])),
        }


def _make(recipe: Recipe, loaded: dict[int, MaskedClip], speed: float, rng: np.random.Generator) -> MaskedClip:
    """The example of a recipe, from its clips by number."""
    first = play(_sounding(recipe.first, recipe.first_lender, loaded), speed, rng)
    if recipe.kind == "own":
        return first
    nothing, known = np.zeros_like(first.masks), np.ones_like(first.mask_valid)
    if recipe.second is None:
        silence = np.zeros_like(first.waveform)
        return dataclasses.replace(first, waveform=silence, masks=nothing, mask_valid=known)
    second = play(_sounding(recipe.second, recipe.second_lender, loaded), speed, rng)
    if recipe.kind == "foreign":
        return dataclasses.replace(first, waveform=second.waveform, masks=nothing, mask_valid=known)
    return (paste if recipe.kind == "pasted" else put_beside)(first, second, HEARD[rng.integers(len(HEARD))], rng)


def _sounding(number: int, lender: int | None, loaded: dict[int, MaskedClip]) -> MaskedClip:
    """A clip with its own sound, or with that of its lender."""
    return loaded[number] if lender is None else lend(loaded[number], loaded[lender])


def _check_sizes(clips: Sequence[MaskedClip]) -> None:
    expected = (clips[0].frames.shape, clips[0].waveform.shape)
    for clip in clips:
        if (clip.frames.shape, clip.waveform.shape) != expected:
            raise DataError(
                f"{clip.key}: {_sizes(clip)}, but {clips[0].key} has {_sizes(clips[0])}. Expected clips of one clip "
                "spec."
            )


def _sizes(clip: MaskedClip) -> str:
    height, width = clip.frames.shape[2:]
    return f"{len(clip.frames)} frames of {width}x{height} and {len(clip.waveform)} samples"
