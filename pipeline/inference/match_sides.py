"""A file's pictures, or its sound -> the embeddings of its clips: one side of a pair that is to be matched.

A side is cut as the clips of training were: clips of the model's length begin every hop from the file's begin on, each
frame goes through JPEG and back, and sound is mono at the model's rate. A sound shorter than a clip ends in silence,
pictures that end before a clip does hold their last frame, and an image is the frame of every clip. Where a start is
asked for, the side is the one clip that begins there.

Design note: pictures and sound of one file are read in one pass only if it is matched with itself. Else each side is
read alone: the pictures of a film without sound are a side, and a sound is decoded in a twentieth of a film's time.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.clips.cutting import MIN_SOUND_S, ShardingConfig
from pipeline.clips.statistics import sound_levels
from pipeline.errors import ClipError
from pipeline.inference.windows import as_stored, shown_frames
from pipeline.media.decoding import Decoding, SkippedPicturesError
from pipeline.media.ffmpeg_log import MediaInfo
from pipeline.media.frame_buffer import FrameBuffer
from pipeline.media.sound_buffer import SoundBuffer
from pipeline.media.still_pictures import image_kind, read_image
from pipeline.media.streams import FULL_SCALE, Frame
from pipeline.storage import files

BATCH_SIZE = 32  # clips per forward pass
MAX_SIDES = 10_000  # that are remembered: 20 MB of one clip each, with embeddings of 512 numbers

NO_CLIPS: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({})


class Judgement(NamedTuple):
    """What the model says of pairs."""

    probability: np.ndarray
    """[...] calibrated, that both belong together."""
    logit: np.ndarray
    """[...] contrastive logit, log c: the score that trained the towers, a cosine over a temperature, or bilinear."""
    cosine: np.ndarray
    """[...]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchModel:
    """Embeds pictures and sounds, and judges pairs of them."""

    spec: ClipSpec
    """Of the clips that it was trained on."""
    cutting: ShardingConfig
    """How those were cut: the frames' quality, how much silence may follow a sound, which sound is silent."""
    embed_pictures: Callable[[list[np.ndarray]], np.ndarray]
    """Frames [K, 3, H, W] uint8 of B clips -> [B, D] unit vectors."""
    embed_sounds: Callable[[list[np.ndarray]], np.ndarray]
    """Sounds [T] float32 in [-1, 1) of B clips -> [B, D] unit vectors."""
    judge: Callable[[np.ndarray, np.ndarray], Judgement]
    """Visual [..., D] and audio [..., D] embeddings -> what it says of each pair."""


@dataclass(frozen=True, slots=True)
class Side:
    """The embeddings of a file's pictures or sound; clip i begins i hops after the first."""

    embeddings: np.ndarray
    """[n, D] unit vectors."""
    is_usable: np.ndarray
    """[n] bool: False for a clip of silence."""
    is_still: bool = False
    """An image: one row, for the clips of any time."""
    note: str = ""
    """What was made up for the file's shortness."""


class Sides:
    """Reads sides, and remembers the last MAX_SIDES of them.

    Args:
        model: embeds them.
        clips: visual and audio embedding [D] of clips by name, which are sides without being read.
    Raises (each method):
        ClipError: the file has no picture or no sound, or cannot be decoded; or it ends before `start_s` (too_short).
        DataError: there is no such file, or it cannot be read.
    """

    def __init__(self, model: MatchModel, clips: Mapping[str, tuple[np.ndarray, np.ndarray]] = NO_CLIPS) -> None:
        self.model, self._clips = model, clips
        remember = functools.lru_cache(MAX_SIDES)
        self.picture = remember(self._picture)
        self.sound = remember(self._sound)
        self.both = remember(self._both)

    def _picture(self, uri: str, start_s: float | None = None) -> Side:
        """The pictures of a video or an image."""
        if uri in self._clips:
            return _of_clip(self._clips[uri][0])
        with files.local_copy(uri) as path:
            kind = image_kind(path)
            if kind is not None:
                return self._image(read_image(path, kind, self.model.spec))
            try:
                return self._read(path, (PictureClips(self.model, start_s),), with_sound=True)[0]
            except ClipError as error:
                if error.reason != "no_audio":
                    raise
                return self._read(path, (PictureClips(self.model, start_s),), with_sound=False)[0]

    def _sound(self, uri: str, start_s: float | None = None) -> Side:
        """The sound of a sound file or a video."""
        if uri in self._clips:
            return _of_clip(self._clips[uri][1])
        with files.local_copy(uri) as path:
            return self._read(path, (SoundClips(self.model, start_s),), with_sound=True)[0]

    def _both(self, uri: str, start_s: float | None = None) -> tuple[Side, Side]:
        """Pictures and sound of one video, read together."""
        if uri in self._clips:
            return self._picture(uri), self._sound(uri)
        with files.local_copy(uri) as path:
            clips = (PictureClips(self.model, start_s), SoundClips(self.model, start_s))
            picture, sound = self._read(path, clips, with_sound=True)
            return picture, sound

    def _image(self, pixels: np.ndarray) -> Side:
        frames = list(as_stored([Frame(BASE, 0.0, pixels)], self.model.cutting.jpeg_quality))
        shown = np.stack([frame.pixels for frame in frames if isinstance(frame, Frame)] * self.model.spec.num_frames)
        embeddings = self.model.embed_pictures([shown.transpose(0, 3, 1, 2)])
        return Side(embeddings, np.ones(1, bool), is_still=True)

    def _read(self, path: Path, clips: "tuple[PictureClips | SoundClips, ...]", with_sound: bool) -> list[Side]:
        try:
            return self._decode(path, clips, with_sound, every_picture=False)
        except SkippedPicturesError:  # as cutting does: some frames are only there if every picture is decoded
            anew = tuple(type(each)(self.model, each.start_s) for each in clips)
            return self._decode(path, anew, with_sound, every_picture=True)

    def _decode(
        self, path: Path, clips: "tuple[PictureClips | SoundClips, ...]", with_sound: bool, every_picture: bool
    ) -> list[Side]:
        spec, cutting = self.model.spec, self.model.cutting
        if not any(isinstance(each, PictureClips) for each in clips):
            spec = dataclasses.replace(spec, frame_rate_hz=0.0, frame_offset_s=0.0)
        limits = (cutting.video_limit_s, cutting.max_duration_s)
        decoding = Decoding(path, {BASE: spec}, *limits, every_picture=every_picture, with_sound=with_sound)
        with contextlib.closing(iter(decoding)) as items:
            for item in as_stored(items, cutting.jpeg_quality):
                for each in clips:
                    each.add(item)
                if all(each.is_done for each in clips):
                    break
        return [each.finish(decoding.info) for each in clips]


def _of_clip(embedding: np.ndarray) -> Side:
    return Side(embedding[None], np.ones(1, bool))


class _Clips:
    """Clips of one side, embedded in batches as they come.

    Args:
        start_s: of the only clip; None for a clip every hop.
    """

    def __init__(self, model: MatchModel, start_s: float | None) -> None:
        self._model, self.start_s = model, start_s
        self._next_s = start_s or 0.0
        self._waiting: list[np.ndarray] = []
        self._embedded: list[np.ndarray] = []
        self._is_usable: list[bool] = []
        self.is_done = False
        """Whether all clips that were asked for are there."""

    def _take(self, clip: np.ndarray, is_usable: bool = True) -> None:
        self._waiting.append(clip)
        self._is_usable.append(is_usable)
        self._next_s += self._model.spec.hop_s
        self.is_done = self.start_s is not None
        if len(self._waiting) == BATCH_SIZE:
            self._embed()

    def _embed(self) -> None:
        if self._waiting:
            self._embedded.append(self._embedding(self._waiting))
            self._waiting = []

    def _embedding(self, clips: list[np.ndarray]) -> np.ndarray:
        raise NotImplementedError

    def _side(self, note: str) -> Side:
        self._embed()
        return Side(np.concatenate(self._embedded), np.array(self._is_usable, bool), note=note)


class PictureClips(_Clips):
    """The clips of a file's pictures."""

    def __init__(self, model: MatchModel, start_s: float | None) -> None:
        super().__init__(model, start_s)
        self._frames = FrameBuffer[np.ndarray](model.spec)

    def add(self, item: np.ndarray | Frame) -> None:
        """Take in a frame; sound is passed over."""
        if not isinstance(item, Frame):
            return
        self._frames.add(item.time_s, item.pixels)
        while not self.is_done and self._frames.is_complete(self._next_s):
            self._cut()

    def finish(self, info: MediaInfo) -> Side:
        """All clips: the last ones show their last frame to the end that the container states."""
        spec = self._model.spec
        end_s = max(info.duration_s or 0.0, self._frames.last_s) + self._model.cutting.max_padding_s
        note = ""
        if not self._is_usable:
            if self._frames.last_s < self._next_s:
                raise ClipError("too_short", f"the picture ends at {self._frames.last_s:.1f} s.")
            self._cut()
            note = "the picture holds its last frame"
        while not self.is_done and self._next_s + spec.clip_s <= end_s:
            self._cut()
        return self._side(note)

    def _cut(self) -> None:
        self._take(shown_frames(self._frames, self._next_s, self._model.spec).transpose(0, 3, 1, 2))
        self._frames.drop_before(self._next_s)

    def _embedding(self, clips: list[np.ndarray]) -> np.ndarray:
        return self._model.embed_pictures(clips)


class SoundClips(_Clips):
    """The clips of a file's sound."""

    def __init__(self, model: MatchModel, start_s: float | None) -> None:
        super().__init__(model, start_s)
        self._sound = SoundBuffer()

    def add(self, item: np.ndarray | Frame) -> None:
        """Take in a chunk of sound [n] int16; frames are passed over."""
        if isinstance(item, Frame):
            return
        self._sound.add(item)
        while not self.is_done and self._sound.end >= self._start() + self._model.spec.num_samples:
            self._cut()
        self._sound.drop_before(self._start())

    def finish(self, info: MediaInfo) -> Side:
        """All clips: a short end of a clip is filled up with silence, and so is a file shorter than a clip."""
        spec, cutting = self._model.spec, self._model.cutting
        rest = self._sound.end - self._start()
        note = ""
        if not self.is_done and rest >= spec.num_samples - round(cutting.max_padding_s * spec.sample_rate_hz):
            self._cut()
        if not self._is_usable:
            found_s = max(0, rest) / spec.sample_rate_hz
            if found_s < MIN_SOUND_S:
                at = f" from {self.start_s:g} s on" if self.start_s else ""
                raise ClipError("too_short", f"{found_s:.2f} s of sound{at}, expected {MIN_SOUND_S:g} s or more.")
            self._cut()
            note = f"{found_s:.1f} s of sound, then silence"
        return self._side(note)

    def _start(self) -> int:
        return round(self._next_s * self._model.spec.sample_rate_hz)

    def _cut(self) -> None:
        spec = self._model.spec
        samples = self._sound.span(self._start(), spec.num_samples)
        level_db = sound_levels(samples, spec.sample_rate_hz).get("rms_db")
        waveform = np.pad(samples, (0, spec.num_samples - len(samples))).astype(np.float32) / np.float32(FULL_SCALE)
        self._take(waveform, is_usable=level_db is not None and level_db >= self._model.cutting.min_rms_db)

    def _embedding(self, clips: list[np.ndarray]) -> np.ndarray:
        return self._model.embed_sounds(clips)


def common_clips(picture: Side, sound: Side) -> Iterator[tuple[int, int]]:
    """The rows of both sides that are of one time and usable; an image is of any time."""
    numbers = itertools.repeat(0) if picture.is_still else range(len(picture.embeddings))
    for row, column in zip(numbers, range(len(sound.embeddings)), strict=False):
        if sound.is_usable[column]:
            yield row, column
