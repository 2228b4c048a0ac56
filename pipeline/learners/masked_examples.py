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
from pipeline.masks.masked_clips import MaskedClip
from pipeline.training.batching import ClipSet
from pipeline.training.protocols import Batch

Kind = Literal["own", "muted", "foreign", "pasted", "beside"]
HEARD = ("first", "second", "both")
LEVEL_DB = 3.0  # most that one of two sounds is louder than the other: of one far below, nobody hears that it sounds
SILENCE = 1e-4  # RMS of a sound that is left as it is
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
            loaded = {number: _with_first_mask(clip) for number, clip in loaded.items()}
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
    first = _played(_sounding(recipe.first, recipe.first_lender, loaded), speed, rng)
    if recipe.kind == "own":
        return first
    nothing, known = np.zeros_like(first.masks), np.ones_like(first.mask_valid)
    if recipe.second is None:
        silence = np.zeros_like(first.waveform)
        return dataclasses.replace(first, waveform=silence, masks=nothing, mask_valid=known)
    second = _played(_sounding(recipe.second, recipe.second_lender, loaded), speed, rng)
    if recipe.kind == "foreign":
        return dataclasses.replace(first, waveform=second.waveform, masks=nothing, mask_valid=known)
    return (paste if recipe.kind == "pasted" else put_beside)(first, second, HEARD[rng.integers(len(HEARD))], rng)


def _sounding(number: int, lender: int | None, loaded: dict[int, MaskedClip]) -> MaskedClip:
    """A clip with its own sound, or with that of its lender."""
    return loaded[number] if lender is None else lend(loaded[number], loaded[lender])


def lend(clip: MaskedClip, lender: MaskedClip) -> MaskedClip:
    """A clip with the sound of another one whose thing is of the same category.

    It is known what sounds in a frame where it is known of both: nothing where the lender is silent, and the clip's
    thing where both sound. Where the lender alone does, the clip's thing is in view, and nobody knows where.
    """
    sounds, lent = clip.masks.any(axis=(1, 2)), lender.masks.any(axis=(1, 2))
    valid = clip.mask_valid & lender.mask_valid & (sounds | ~lent)
    return dataclasses.replace(
        clip, waveform=lender.waveform, masks=clip.masks & (valid & lent)[:, None, None], mask_valid=valid
    )


def paste(first: MaskedClip, second: MaskedClip, heard: str, rng: np.random.Generator) -> MaskedClip:
    """The first clip with what sounds in the second pasted over it, in frames where that is known.

    The second is mirrored at random and moved to a place where all of its masks stay in the picture. The masks are what
    is seen of those that are heard: of `first`, of `second`, or of `both`. With the second alone they are known in
    every frame, because it is in view nowhere else.
    """
    shown = second.masks & second.mask_valid[:, None, None]
    pictures = second.frames
    if rng.random() < 0.5:
        shown, pictures = shown[..., ::-1], pictures[..., ::-1]
    places = [np.flatnonzero(shown.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    shift = tuple(
        int(rng.integers(-at[0], size - at[-1])) if len(at) else 0
        for at, size in zip(places, shown.shape[1:], strict=True)
    )
    shown = np.roll(shown, shift, axis=(1, 2))
    frames = np.where(shown[:, None], np.roll(pictures, shift, axis=(2, 3)), first.frames)
    seen = first.masks & ~shown
    masks = {"first": seen, "second": shown, "both": seen | shown}[heard]
    valid = np.ones_like(first.mask_valid) if heard == "second" else first.mask_valid
    waveform = _sound(first, second, heard, rng)
    return dataclasses.replace(first, frames=frames, waveform=waveform, masks=masks, mask_valid=valid)


def put_beside(first: MaskedClip, second: MaskedClip, heard: str, rng: np.random.Generator) -> MaskedClip:
    """Both clips, each squeezed into half of the picture: left and right of each other, or one above the other.

    Arguments as of `paste`. Masks are known in frames where it is known what sounds of each one that is heard.
    """
    axis, is_swapped = int(rng.integers(1, 3)), rng.random() < 0.5
    halves = []
    for clip, name in ((first, "first"), (second, "second")):
        masks = clip.masks if heard in (name, "both") else np.zeros_like(clip.masks)
        halves.append((_squeezed(clip.frames, axis + 1), _squeezed(masks, axis)))
    size = first.masks.shape[axis]
    # of an odd number of pixels the last one is that of the second half
    (pictures, masks), (others, other_masks) = reversed(halves) if is_swapped else halves
    frames = np.concatenate([pictures, others], axis=axis + 1)
    joined = np.concatenate([masks, other_masks], axis=axis)
    if missing := size - joined.shape[axis]:
        frames = np.concatenate([frames, frames.take([-1] * missing, axis=axis + 1)], axis=axis + 1)
        joined = np.concatenate([joined, joined.take([-1] * missing, axis=axis)], axis=axis)
    valid = {"first": first.mask_valid, "second": second.mask_valid, "both": first.mask_valid & second.mask_valid}
    waveform = _sound(first, second, heard, rng)
    return dataclasses.replace(first, frames=frames, waveform=waveform, masks=joined, mask_valid=valid[heard])


def _squeezed(pixels: np.ndarray, axis: int) -> np.ndarray:
    """Half as many along an axis: the mean of two pixels, rounded down; of two of a mask the second."""
    half = pixels.shape[axis] // 2
    first, second = (pixels.take(np.arange(half) * 2 + side, axis=axis) for side in (0, 1))
    if pixels.dtype == bool:
        return second
    return ((first.astype(np.uint16) + second) // 2).astype(np.uint8)


def _sound(first: MaskedClip, second: MaskedClip, heard: str, rng: np.random.Generator) -> np.ndarray:
    """[T] what is heard: of `both` the sum, the second at the level of the first or up to LEVEL_DB from it."""
    if heard != "both":
        return first.waveform if heard == "first" else second.waveform
    level_db = rng.uniform(-LEVEL_DB, LEVEL_DB)
    levels = [float(np.sqrt(np.square(clip.waveform).mean())) for clip in (first, second)]
    gain = levels[0] / levels[1] * 10 ** (level_db / 20) if min(levels) > SILENCE else 1.0
    return first.waveform + np.float32(gain) * second.waveform


def _played(clip: MaskedClip, speed: float, rng: np.random.Generator) -> MaskedClip:
    """The clip with its sound faster or slower, pitch with it, about its middle; silent before and after it.

    Within a second of a clip of 5 s, at a speed of 0.15, sound and masks are at most 0.3 s apart.
    """
    if not speed:
        return clip
    factor, middle = np.exp(rng.uniform(-speed, speed)), (len(clip.waveform) - 1) / 2
    places = np.arange(len(clip.waveform))
    played = np.interp(middle + factor * (places - middle), places, clip.waveform, left=0.0, right=0.0)
    return dataclasses.replace(clip, waveform=played.astype(np.float32))


def _with_first_mask(clip: MaskedClip) -> MaskedClip:
    """The clip with no mask known but that of its first frame that has one."""
    valid = clip.mask_valid & (np.cumsum(clip.mask_valid) == 1)
    return dataclasses.replace(clip, mask_valid=valid, masks=clip.masks & valid[:, None, None])


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
