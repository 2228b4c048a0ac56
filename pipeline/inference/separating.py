"""Video -> the same video with its on-screen sound alone, and once more with the rest of the sound.

The model sees windows of one clip's length that overlap by half. The windows' on-screen estimates are cross-faded with
weights that add up to one. The off-screen sound is the mixture minus the on-screen estimate.

Design note: cross-fading is sound although a separator may order its sources differently in each window. The on-screen
estimate is a sum over all sources, each weighted by its own probability, so their order does not matter.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding, SkippedPicturesError
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.muxing import write_mp4s
from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.streams import FULL_SCALE, Frame
from pipeline.models.separator import on_screen_estimate
from pipeline.storage import files

STEMS = ("on_screen", "off_screen")
PCM24 = 2**23  # full scale of 24 bits


@dataclass(frozen=True, slots=True)
class Separated:
    """The result of separating one video."""

    duration_s: float
    """Length of its sound, and of both stems."""
    on_screen_share: float | None
    """Power of the on-screen stem over the power of both; None if both are silent."""
    video_copied: bool
    """Whether the picture's stream is the original's; False: its codec does not fit into mp4, so it is encoded anew."""


@dataclass(frozen=True, slots=True)
class Window:
    """One input of the model."""

    start: int
    """First sample, on the video's clock."""
    sound: np.ndarray
    """[n] float32 in [-1, 1); n = T, less only in a video shorter than a clip."""
    frames: np.ndarray
    """[K, H, W, 3] uint8 RGB."""


def separate_video(uri: str, out: str, spec: ClipSpec, model: nn.Module, limit_s: float = 3600.0) -> Separated:
    """Write {on_screen,off_screen}.{flac,mp4} into the folder `out`: all four, or none if the video cannot be used.

    The FLACs are 24-bit mono at the clip spec's rate and add up to the decoded sound. The mp4s hold the original
    picture and a stem as AAC. Memory does not grow with the video's length, unless its container has much of the
    picture before the sound of the same time.

    Args:
        uri: path or s3:// address of the video.
        out: path or s3:// address of the folder.
        spec: the clip spec that the model was trained on.
        model: a SeparationModel in evaluation mode, on the device where it is to run.
        limit_s: wall-clock limit for the decoding, and for each writing of mp4s.
    Raises:
        ClipError: the video cannot be decoded (see `pipeline.media.decoding.Decoding`) or written.
        DataError: there is no such file.
    """
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(files.local_copy(uri))
        names = [f"{stem}.{kind}" for kind in ("flac", "mp4") for stem in STEMS]
        made = [stack.enter_context(files.building(files.join(out, name))) for name in names]
        decoding = Decoding(path, {BASE: spec}, limit_s)
        try:
            num_samples, power = _separate(decoding, spec, model, made[:2])
        except SkippedPicturesError:
            decoding = Decoding(path, {BASE: spec}, limit_s, every_picture=True)
            num_samples, power = _separate(decoding, spec, model, made[:2])
        video_copied = write_mp4s(path, decoding.choice, made[:2], made[2:], limit_s)
    return Separated(
        duration_s=num_samples / spec.sample_rate_hz,
        on_screen_share=float(power[0] / power.sum()) if power.sum() else None,
        video_copied=video_copied,
    )


def _separate(decoding: Decoding, spec: ClipSpec, model: nn.Module, stems: list[Path]) -> tuple[int, np.ndarray]:
    """Write both stems of what is decoded; return their length in samples and the [2] sums of squares."""
    blocks = stitch(windows(decoding, spec), spec, lambda window: estimate_window(model, window, spec))
    return _write_stems(stems, spec, blocks)


def windows(items: Iterable[np.ndarray | Frame], spec: ClipSpec) -> Iterator[Window]:
    """The windows of one video, in order, each as soon as no later sound or frame can change it.

    They begin half a clip apart, and the last one ends with the sound. A video shorter than a clip has one window.

    Args:
        items: chunks of sound [n] int16 and frames, each in the order of time: what `Decoding` yields.
        spec: lengths and rates.
    Raises:
        ClipError: there is no sound (no_audio).
    """
    rate_hz, length = spec.sample_rate_hz, spec.num_samples
    hop = length - length // 2
    start = 0  # of the next window
    sound, frames = SoundBuffer(), FrameBuffer[np.ndarray](spec)

    def window(start: int) -> Window:
        samples = sound.span(start, length) / np.float32(FULL_SCALE)
        return Window(start, samples, _shown(frames, start / rate_hz, spec))

    for item in items:
        if isinstance(item, Frame):
            frames.add(item.time_s, item.pixels)
        else:
            sound.add(item)
        while sound.end >= start + length and (
            frames.is_complete(start / rate_hz) or sound.leads((start + length) / rate_hz, rate_hz)
        ):
            yield window(start)
            sound.drop_before(start)  # no later window begins earlier
            frames.drop_before(start / rate_hz)
            start += hop
    total = sound.end
    if not total:
        raise ClipError("no_audio", "the audio stream holds no sound.")
    if start == 0 or start - hop + length < total:
        yield from map(window, [*range(start, total - length, hop), max(0, total - length)])


def _shown(frames: FrameBuffer[np.ndarray], start_s: float, spec: ClipSpec) -> np.ndarray:
    """[K, H, W, 3] frames of a window. Before the first frame that one is shown; without any, black."""
    missing = frames.first()
    if missing is None:  # no picture yet, 120 s into the sound
        missing = np.zeros((spec.frame_height, spec.frame_width, 3), np.uint8)
    return np.stack([missing if frame is None else frame for frame in frames.shown(start_s)])


def cross_fade(length: int) -> np.ndarray:
    """[length] weights that rise from 0 to 1; the falling ones are 1 minus these, which are these reversed.

    >>> cross_fade(2).round(3).tolist()
    [0.146, 0.854]
    """
    return np.sin(np.pi / 2 * (np.arange(length) + 0.5) / length) ** 2


def stitch(
    parts: Iterable[Window], spec: ClipSpec, estimate: Callable[[Window], np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of the whole sound, in order and without gaps: mixture [n] and its on-screen estimate [n], in [-1, 1).

    From one window to the next the estimate cross-fades over half a clip. The last window may begin less than half a
    clip after the one before it; its cross-fade begins where that of a regular window would.

    Args:
        parts: the video's windows.
        spec: the clip spec they were cut by.
        estimate: [n] on-screen estimate of a window's [n] sound.
    """
    overlap = spec.num_samples // 2
    held_sound, held = np.zeros(0), np.zeros(0)  # the end of the window before: still to be faded
    position = 0
    for window in parts:
        new_sound, new = window.sound[position - window.start :], estimate(window)[position - window.start :]
        rise = cross_fade(len(held))
        new = np.concatenate([held * (1 - rise) + new[: len(held)] * rise, new[len(held) :]])
        done = max(0, len(new) - overlap)
        yield new_sound[:done], new[:done]
        held_sound, held = new_sound[done:], new[done:]
        position += done
    yield held_sound, held


@torch.inference_mode()
def estimate_window(model: nn.Module, window: Window, spec: ClipSpec) -> np.ndarray:
    """[n] float32 on-screen estimate of a window's [n] sound; a short window is padded with silence for the model."""
    device = next(model.parameters()).device
    mixture = np.zeros(spec.num_samples, np.float32)
    mixture[: len(window.sound)] = window.sound
    frames = torch.from_numpy(window.frames).permute(0, 3, 1, 2).float() / 255
    output = model(torch.from_numpy(mixture)[None].to(device), frames[None].to(device))
    return on_screen_estimate(output)[0, : len(window.sound)].cpu().numpy()


def _write_stems(
    paths: list[Path], spec: ClipSpec, blocks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[int, np.ndarray]:
    """Write both FLACs, limited to full scale; return their length in samples and the [2] sums of squares."""
    num_samples, power = 0, np.zeros(2)
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(soundfile.SoundFile(path, "w", spec.sample_rate_hz, 1, format="FLAC", subtype="PCM_24"))
            for path in paths
        ]
        for mixture, on_screen in blocks:
            num_samples += len(mixture)
            for i, stem in enumerate((on_screen, mixture - on_screen)):
                limited = np.clip(np.rint(stem * PCM24), -PCM24, PCM24 - 1).astype(np.int32)
                power[i] += np.square(stem, dtype=np.float64).sum()
                files[i].write(limited << 8)  # soundfile takes the upper 24 of 32 bits
    return num_samples, power
