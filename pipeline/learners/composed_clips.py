"""Two clips with masks -> one: with the sound of the other, its things pasted, or side by side; and its masks."""

import dataclasses

import numpy as np

from pipeline.masks.masked_clips import MaskedClip

LEVEL_DB = 3.0  # most that one of two sounds is louder than the other: of one far below, nobody hears that it sounds
SILENCE = 1e-4  # RMS of a sound that is left as it is


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


def play(clip: MaskedClip, speed: float, rng: np.random.Generator) -> MaskedClip:
    """The clip with its sound faster or slower, pitch with it, about its middle; silent before and after it.

    Within a second of a clip of 5 s, at a speed of 0.15, sound and masks are at most 0.3 s apart.
    """
    if not speed:
        return clip
    factor, middle = np.exp(rng.uniform(-speed, speed)), (len(clip.waveform) - 1) / 2
    places = np.arange(len(clip.waveform))
    played = np.interp(middle + factor * (places - middle), places, clip.waveform, left=0.0, right=0.0)
    return dataclasses.replace(clip, waveform=played.astype(np.float32))


def keep_first_mask(clip: MaskedClip) -> MaskedClip:
    """The clip with no mask known but that of its first frame that has one."""
    valid = clip.mask_valid & (np.cumsum(clip.mask_valid) == 1)
    return dataclasses.replace(clip, mask_valid=valid, masks=clip.masks & valid[:, None, None])
