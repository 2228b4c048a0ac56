"""A sample's members, FLAC, JPEG and JSON, to arrays and back. No pickle, whoever wrote the tar."""

import functools
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
import soundfile


@dataclass(frozen=True, slots=True)
class Clip:
    """One decoded clip or example."""

    key: str
    waveforms: dict[str, np.ndarray]
    """[T] int16 by member: `flac` for a clip, `first.flac` and `second.flac` for a mixture of mixtures."""
    frames: np.ndarray
    """[K, 3, H, W] uint8 RGB."""
    facts: dict[str, Any]
    """What its JSON says: ids, start, frame times, and whatever labels it carries."""

    @property
    def waveform(self) -> np.ndarray:
        """[T] int16: the clip's sound."""
        return self.waveforms["flac"]

    @property
    def size_bytes(self) -> int:
        """Memory it takes."""
        return self.frames.nbytes + sum(waveform.nbytes for waveform in self.waveforms.values())


def decode_sample(key: str, members: dict[str, bytes]) -> Clip:
    """A sample's members as arrays. Only JSON, FLAC and JPEG are ever read: no pickle."""
    frames = [(int(name.removesuffix(".jpg")), name) for name in members if name.endswith(".jpg")]
    pixels = [_decode_jpeg(members[name]) for _, name in sorted(frames)]
    waveforms = {
        name: soundfile.read(io.BytesIO(data), dtype="int16")[0]
        for name, data in members.items()
        if name.endswith("flac")
    }
    return Clip(key, waveforms, np.stack(pixels).transpose(0, 3, 1, 2), json.loads(members["json"]))


# Overlapping clips share their frames' bytes: read in order, 4 of 5 frames have been decoded just before.
@functools.lru_cache(maxsize=64)
def _decode_jpeg(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def encode_flac(samples: np.ndarray, rate_hz: int) -> bytes:
    """[T] int16, or float in [-1, 1), as a 16-bit mono FLAC file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
