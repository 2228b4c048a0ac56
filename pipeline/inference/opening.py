"""What a file holds for separation: sound at the model's rate with frames, native sound, and what is odd about both."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError
from pipeline.media.decoding import Decoding
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.packets import read_packets
from pipeline.media.sound_decoding import SoundDecoding
from pipeline.media.stream_choice import StreamChoice
from pipeline.media.streams import FULL_SCALE, Frame

LIMIT_S = 12 * 3600.0  # the longest video, on a machine that takes as long as it lasts
SILENT_RATE_HZ = 48_000  # of the stems of a video without sound
SILENT_SAMPLES = 2**16  # of a chunk of them
CLIPPED, MIN_CLIPPED = 1 - 2.0**-15, 1e-3  # full scale of 16 bits; share of samples there that is worth a note
MIN_MISSING_S = 1.0


@dataclass(slots=True)
class Media:
    """An opened file."""

    path: Path
    choice: StreamChoice
    items: Iterator[np.ndarray | Frame]
    """Sound [n] int16 at the model's rate, and frames; nothing if there is no sound."""
    native: Iterator[np.ndarray]
    """Sound [n, C] float32 at `rate_hz`; zeros of the picture's length if there is none."""
    rate_hz: int
    num_channels: int
    decoding: Decoding
    sound: SoundDecoding | None
    """None if there is no sound."""
    has_picture: bool
    num_samples: int = 0
    num_clipped: int = 0

    @property
    def duration_s(self) -> float:
        """Length of the native sound so far."""
        return self.num_samples / self.rate_hz

    def counted(self) -> Iterator[np.ndarray]:
        """The native sound; what has come is counted."""
        for chunk in self.native:
            self.num_samples += len(chunk)
            self.num_clipped += int(np.count_nonzero(np.abs(chunk) >= CLIPPED)) if any(chunk.strides) else 0
            yield chunk

    def notes(self, spec: ClipSpec) -> list[str]:
        """What is odd about the file, once all of it has been read."""
        if self.sound is None:
            return ["no sound: the stems are silent"]
        found, info = [], self.decoding.info
        detail = info.detail if self.has_picture else self.sound.detail
        if detail:
            found.append(detail)
        found += length_notes(info, self.duration_s, spec.clip_s)
        clipped = self.num_clipped / max(1, self.num_samples * self.num_channels)
        if clipped >= MIN_CLIPPED:
            found.append(f"{clipped:.1%} of the samples are at full scale: the sound is clipped")
        return found


def length_notes(info: MediaInfo, duration_s: float, clip_s: float, rest_s: float = 0.0) -> list[str]:
    """What is odd about the length of a sound: it ends before the file says, or is shorter than a clip.

    Args:
        info: what the file states.
        duration_s: of the sound.
        clip_s: of the clips that the model was trained on.
        rest_s: what a sound may lack of a clip's length.
    """
    found = []
    if info.duration_s and info.duration_s - duration_s > MIN_MISSING_S:
        found.append(f"the sound ends at {duration_s:.1f} s of the {info.duration_s:.1f} s that the file states")
    if duration_s < clip_s - rest_s:
        found.append(f"shorter than the {clip_s:g} s that the model was trained on")
    return found


@contextlib.contextmanager
def open_media(path: Path, spec: ClipSpec) -> Iterator[Media]:
    """Open a local file; what decodes it ends with the block.

    Raises:
        ClipError: it holds no sound and no picture that can be decoded (see `Decoding`).
    """
    with contextlib.ExitStack() as stack:
        decoding = Decoding(path, {BASE: spec}, LIMIT_S, every_picture=True)
        items, has_picture = iter(decoding), True
        stack.callback(items.close)
        try:
            rest: Iterator[np.ndarray | Frame] = itertools.chain([next(items)], items)
            choice = decoding.choice
        except ClipError as error:
            if error.reason == "no_audio":
                yield _silent(path, decoding)
                return
            if error.reason != "no_video" or decoding.info.audio_codec is None:
                raise
            has_picture, choice = False, decoding.sound_alone()
            mono = SoundDecoding(path, choice, spec.sample_rate_hz, has_picture=False, is_mono=True)
            rest = (to_16_bits(chunk) for chunk in stack.enter_context(contextlib.closing(iter(mono))))
        rate_hz = decoding.info.audio_rate_hz or spec.sample_rate_hz
        sound = SoundDecoding(path, choice, rate_hz, has_picture=has_picture)
        chunks = iter(sound)
        stack.callback(chunks.close)
        try:
            first = next(chunks)
        except ClipError as error:
            if error.reason != "no_audio" or not has_picture:
                raise
            yield _silent(path, decoding)
            return
        native = itertools.chain([first], chunks)
        yield Media(path, choice, rest, native, rate_hz, first.shape[1], decoding, sound, has_picture)


def _silent(path: Path, decoding: Decoding) -> Media:
    """A video without sound: as much silence as there is picture.

    Raises:
        ClipError: there is no picture either (no_audio).
    """
    packets = read_packets(path, [decoding.choice.picture], LIMIT_S)
    duration_s = max((packet.shown_s + packet.duration_s for packet in packets), default=0.0)
    num_samples = round(duration_s * SILENT_RATE_HZ)
    if not num_samples:
        raise ClipError("no_audio", "no sound, and no picture that lasts.")
    zeros = np.zeros((SILENT_SAMPLES, 1), np.float32)
    native = (zeros[: num_samples - start] for start in range(0, num_samples, SILENT_SAMPLES))
    return Media(path, decoding.choice, iter(()), native, SILENT_RATE_HZ, 1, decoding, None, has_picture=True)


def to_16_bits(chunk: np.ndarray) -> np.ndarray:
    """[n] int16 of mono sound [n, 1]: what the model's training has seen."""
    return np.clip(np.rint(chunk[:, 0] * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
