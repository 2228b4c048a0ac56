"""A sample's members (FLAC, JPEG and JSON) -> arrays, and sound -> FLAC. No pickle is read, whatever the tar holds."""

import functools
import io
import json
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
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.frames.nbytes + sum(waveform.nbytes for waveform in self.waveforms.values())


def decode_sample(key: str, members: dict[str, bytes], uri: str) -> Clip:
    """A sample's members as arrays. Only JSON, FLAC and JPEG are ever read: no pickle.

    Args:
        key: of the sample.
        members: content by suffix.
        uri: the tar's address, for messages.
    Raises:
        DataError: a member is damaged, missing, or has another length than the sample's JSON says.
    """
    try:
        facts = json.loads(members["json"])
        frames = [(int(name.removesuffix(".jpg")), name) for name in members if name.endswith(".jpg")]
        pictures = [_decode_jpeg(members[name]) for _, name in sorted(frames)]
        pixels = (np.stack(pictures) if pictures else NO_FRAMES).transpose(0, 3, 1, 2)
        waveforms = {
            name: soundfile.read(io.BytesIO(data), dtype="float32")[0]  # each 16-bit sample / 32768, exactly
            for name, data in members.items()
            if name.endswith("flac")
        }
        expected = [len(facts["frame_times_s"])] + [_num_samples(facts, waveforms)] * len(waveforms)
    except (ValueError, LookupError, TypeError, soundfile.SoundFileError) as error:
        raise damaged_tar(uri, f"{key}: {type(error).__name__}: {error}.") from error
    found = [len(pixels), *map(len, waveforms.values())]
    if found != expected:
        raise damaged_tar(uri, f"{key}: {found} frames and samples, expected {expected}.")
    return Clip(key, waveforms, pixels, facts)


def _num_samples(facts: dict[str, Any], waveforms: dict[str, np.ndarray]) -> int:
    """Length of a sample's sounds: that of the clip; both mixtures of an example are as long as the first."""
    if "duration_s" in facts:
        return round(facts["duration_s"] * facts["sample_rate_hz"])
    return len(next(iter(waveforms.values())))


# Overlapping clips share their frames' bytes: read in order, 4 of 5 frames have been decoded just before.
@functools.lru_cache(maxsize=64)
def _decode_jpeg(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def encode_flac(samples: np.ndarray, rate_hz: int) -> bytes:
    """[T] int16, or float in [-1, 1), as a 16-bit mono FLAC file; a decoded waveform keeps its samples."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
