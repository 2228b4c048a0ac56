"""The windows of one video that a model sees: one clip's length, overlapping or in a row, each with its frames."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg

from pipeline.clip_specs import ClipSpec
from pipeline.errors import ClipError
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.streams import FULL_SCALE, Frame

MAX_REST_S = 0.1  # after the last multiple of a grid: as much as cutting fills up at a clip's end


@dataclass(frozen=True, slots=True)
class Window:
    """One input of the model."""

    start: int
    """First sample, on the video's clock."""
    sound: np.ndarray
    """[n] float32 in [-1, 1); n = T, less only in a video shorter than a clip, or where the last one ends later."""
    frames: np.ndarray
    """[K, H, W, 3] uint8 RGB."""

    @property
    def end(self) -> int:
        """The sample after the last one."""
        return self.start + len(self.sound)


def windows(
    items: Iterable[np.ndarray | Frame], spec: ClipSpec, hop: int | None = None, grid: int = 1
) -> Iterator[Window]:
    """The windows of one video, in order, each as soon as no later sound or frame can change it.

    By default they begin half a clip apart, and the last one ends with the sound. A video shorter than a clip has one
    window.

    Args:
        items: chunks of sound [n] int16 and frames, each in the order of time: what `Decoding` yields.
        spec: lengths and rates.
        hop: samples from one window to the next, at most those of a clip.
        grid: the last window ends at a multiple of these samples: the first one with at most MAX_REST_S after it.
    Raises:
        ClipError: there is no sound (no_audio).
    """
    rate_hz, length = spec.sample_rate_hz, spec.num_samples
    hop = hop or length - length // 2
    start = 0  # of the next window
    sound, frames = SoundBuffer(), FrameBuffer[np.ndarray](spec)

    def window(start: int) -> Window:
        samples = sound.span(start, length) / np.float32(FULL_SCALE)
        return Window(start, samples, shown_frames(frames, start / rate_hz, spec))

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
    rest = min(grid - 1, int(MAX_REST_S * rate_hz))
    last = max(0, -(-(total - rest) // grid) * grid - length)
    if start == 0 or last > start - hop:
        yield from map(window, [*range(start, last, hop), last])


def as_stored(items: Iterable[np.ndarray | Frame], jpeg_quality: int) -> Iterator[np.ndarray | Frame]:
    """The items with each frame as it comes back from a tar."""
    for item in items:
        if isinstance(item, Frame):
            jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(item.pixels), quality=jpeg_quality)
            item = dataclasses.replace(item, pixels=simplejpeg.decode_jpeg(jpeg, colorspace="RGB"))
        yield item


def shown_frames(frames: FrameBuffer[np.ndarray], start_s: float, spec: ClipSpec) -> np.ndarray:
    """[K, H, W, 3] frames of the window that begins at `start_s`.

    Before the first frame that one is shown; without any, black.
    """
    missing = frames.first()
    if missing is None:  # no picture yet, 120 s into the sound, or none at all
        missing = np.zeros((spec.frame_height, spec.frame_width, 3), np.uint8)
    return np.stack([missing if frame is None else frame for frame in frames.shown(start_s)])
