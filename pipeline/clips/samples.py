"""A sample's members (FLAC, JPEG and JSON) -> arrays, and sound -> FLAC. No pickle is read, whatever the tar holds."""

import contextlib
import functools
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
import soundfile

from pipeline.storage.workspace import damaged_tar

NO_FRAMES = np.zeros((0, 0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Clip:
    """One decoded clip or example."""

    key: str
    waveforms: dict[str, np.ndarray]
    """[T] float32 in [-1, 1) by member: `flac` of a clip, `first.flac` and `second.flac` of a mixture of mixtures."""
    frames: np.ndarray
    """[K, 3, H, W] uint8 RGB; [0, 3, 0, 0] of a clip without frames."""
    facts: dict[str, Any]
    """Its JSON: ids, start, frame times, and labels if it has any."""

    @property
    def waveform(self) -> np.ndarray:
        """[T] float32 in [-1, 1): the clip's sound."""
        return self.waveforms["flac"]

    @property
    def num_frames(self) -> int:
        """K."""
        return len(self.frames)

    @property
    def num_samples(self) -> int:
        """T."""
        return len(self.waveform)

    def take_frames(self, first: int, count: int) -> np.ndarray:
        """[count, 3, H, W] uint8: its frames from `first` on."""
        return self.frames[first : first + count]

    def take_sound(self, first: int, count: int) -> np.ndarray:
        """[count] float32 in [-1, 1): its samples from `first` on."""
        return self.waveform[first : first + count]

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.frames.nbytes + sum(waveform.nbytes for waveform in self.waveforms.values())


class EncodedClip:
    """A clip of which those frames and that stretch of sound are decoded that are asked for.

    Args: as of `decode_sample`.
    Raises:
        DataError: as `decode_sample`, of what is decoded; the numbers of frames and samples are checked in any case.
    """

    def __init__(self, key: str, members: dict[str, bytes], uri: str) -> None:
        self.key, self._members, self._uri = key, members, uri
        with _as_damage(uri, key):
            self.facts: dict[str, Any] = json.loads(members["json"])
            self._pictures = _picture_names(members)
            self.num_frames = len(self._pictures)
            self.num_samples = _num_samples(self.facts)
            self._sound = members["flac"]
            expected = len(self.facts["frame_times_s"])
        if self.num_frames != expected:
            raise damaged_tar(uri, f"{key}: {self.num_frames} frames, expected {expected}.")

    def decode(self) -> Clip:
        """All of it."""
        return decode_sample(self.key, self._members, self._uri)

    def take_frames(self, first: int, count: int) -> np.ndarray:
        """[count, 3, H, W] uint8: its frames from `first` on."""
        with _as_damage(self._uri, self.key):
            return _decode_frames([self._members[name] for name in self._pictures[first : first + count]])

    def take_sound(self, first: int, count: int) -> np.ndarray:
        """[count] float32 in [-1, 1): its samples from `first` on."""
        with _as_damage(self._uri, self.key), soundfile.SoundFile(io.BytesIO(self._sound)) as file:
            if file.frames != self.num_samples:
                raise ValueError(f"{file.frames} samples, expected {self.num_samples}")
            if first:
                file.seek(first)
            samples = file.read(count, dtype="float32")
            if len(samples) != count:
                raise ValueError(f"{len(samples)} samples from {first} on, expected {count}")
            return samples


def decode_clip(key: str, members: dict[str, bytes], uri: str) -> Clip:
    """A clip, all of it. Arguments and errors as of `decode_sample`, and the sound must be there."""
    return EncodedClip(key, members, uri).decode()


@contextlib.contextmanager
def _as_damage(uri: str, key: str) -> Iterator[None]:
    """What decoding raises, as a DataError that names the tar and the sample."""
    try:
        yield
    except (ValueError, LookupError, TypeError, soundfile.SoundFileError) as error:
        raise damaged_tar(uri, f"{key}: {type(error).__name__}: {error}.") from error


def decode_sample(key: str, members: dict[str, bytes], uri: str) -> Clip:
    """A sample's members as arrays. Only JSON, FLAC and JPEG are ever read: no pickle.

    Args:
        key: of the sample.
        members: content by suffix.
        uri: the tar's address, for messages.
    Raises:
        DataError: a member is damaged, missing, or has another length than the sample's JSON says.
    """
    with _as_damage(uri, key):
        facts = json.loads(members["json"])
        pixels = _decode_frames([members[name] for name in _picture_names(members)])
        waveforms = {
            name: soundfile.read(io.BytesIO(data), dtype="float32")[0]  # each 16-bit sample / 32768, exactly
            for name, data in members.items()
            if name.endswith("flac")
        }
        num_samples = _num_samples(facts) if "duration_s" in facts else len(next(iter(waveforms.values()), ()))
        expected = [len(facts["frame_times_s"])] + [num_samples] * len(waveforms)
    found = [len(pixels), *map(len, waveforms.values())]
    if found != expected:
        raise damaged_tar(uri, f"{key}: {found} frames and samples, expected {expected}.")
    return Clip(key, waveforms, pixels, facts)


def _num_samples(facts: dict[str, Any]) -> int:
    """Length of a clip's sound. An example of two mixtures has none: both are as long as the first."""
    return round(facts["duration_s"] * facts["sample_rate_hz"])


def _picture_names(members: dict[str, bytes]) -> list[str]:
    """The members that are frames, in order of their numbers."""
    return sorted((name for name in members if name.endswith(".jpg")), key=lambda name: int(name.removesuffix(".jpg")))


def _decode_frames(pictures: list[bytes]) -> np.ndarray:
    """[K, 3, H, W] uint8; [0, 3, 0, 0] of no pictures."""
    decoded = [_decode_jpeg(picture) for picture in pictures]
    return (np.stack(decoded) if decoded else NO_FRAMES).transpose(0, 3, 1, 2)


# Overlapping clips share their frames' bytes: read in order, 4 of 5 frames have been decoded just before.
@functools.lru_cache(maxsize=64)
def _decode_jpeg(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def encode_flac(samples: np.ndarray, rate_hz: int) -> bytes:
    """[T] int16, or float in [-1, 1), as a 16-bit mono FLAC file; a decoded waveform keeps its samples."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
