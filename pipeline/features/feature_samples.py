"""A clip's features as a sample of a tar: two NumPy files and JSON. Nothing of them is unpickled.

Design note: of the NumPy format only what `encode` writes is read: version 1.0, little-endian half floats in C order.
The header is matched, not evaluated, and its shape must claim as many bytes as follow, before anything is allocated.
"""

import contextlib
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.storage.workspace import damaged_tar

MAGIC = b"\x93NUMPY\x01\x00"
MAX_HEADER_BYTES = 1024  # NumPy pads to 64: a shape of three numbers takes 118
HEADER = re.compile(rb"\{'descr': '<f2', 'fortran_order': False, 'shape': \(((?:\d{1,9}, ?)*\d{0,9})\), \} *\n")
EXPONENT = np.uint16(0x7C00)  # of a half float; all ones where it is infinite or no number
AXES = {"visual.npy": 3, "audio.npy": 2}


@dataclass(frozen=True, slots=True)
class FeatureClip:
    """The decoded features of one clip: N segments of one second, R places in the picture."""

    key: str
    visual: np.ndarray
    """[N, R, C] float16."""
    audio: np.ndarray
    """[N, A] float16."""
    facts: dict[str, Any]
    """Its JSON: ids and start (`schemas.samples.FeatureFacts`)."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.visual.nbytes + self.audio.nbytes


def all_finite(half: np.ndarray) -> bool:
    """Whether each half float is a number and finite, in a seventh of the time of `np.isfinite`."""
    return not ((half.view(np.uint16) & EXPONENT) == EXPONENT).any()


def encode(clip: FeatureClip) -> dict[str, bytes]:
    """The members of a clip's sample by suffix; float32 features are rounded to half floats.

    Raises:
        DataError: a feature is no number, or beyond what a half float holds (65 504).
    """
    members = {"json": json.dumps(clip.facts, sort_keys=True).encode()}
    for name, values in (("visual.npy", clip.visual), ("audio.npy", clip.audio)):
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(values, "<f2")
        if not all_finite(rounded):
            worst = np.abs(values[~np.isfinite(rounded)]).max()
            raise DataError(f"{clip.key}: {name} has the feature {worst:g}, expected numbers of at most 65 504.")
        file = io.BytesIO()
        np.save(file, rounded, allow_pickle=False)
        members[name] = file.getvalue()
    return members


def decode(key: str, members: dict[str, bytes], uri: str) -> FeatureClip:
    """The inverse of `encode`.

    Args:
        key: of the sample.
        members: content by suffix.
        uri: the tar's address, for messages.
    Raises:
        DataError: a member is missing, is not what `encode` writes, or the two have other numbers of segments.
    """
    with _as_damage(uri, key):
        facts = json.loads(members["json"])
        visual, audio = (_parse_array(name, members[name]) for name in AXES)
        if len(visual) != len(audio):
            raise ValueError(f"{len(visual)} segments of visual and {len(audio)} of audio features, expected as many")
    return FeatureClip(key, visual, audio, facts)


@contextlib.contextmanager
def _as_damage(uri: str, key: str) -> Iterator[None]:
    """What parsing raises, as a DataError that names the tar and the sample."""
    try:
        yield
    except KeyError as error:
        raise damaged_tar(uri, f"{key}: no member {error}.") from error
    except ValueError as error:
        raise damaged_tar(uri, f"{key}: {error}.") from error


def _parse_array(name: str, data: bytes) -> np.ndarray:
    """A view of the values of a NumPy file, all axes of at least 1.

    Raises:
        ValueError: it is not what `encode` writes.
    """
    begin = len(MAGIC) + 2
    end = begin + int.from_bytes(data[len(MAGIC) : begin], "little")
    header = data[begin : min(end, begin + MAX_HEADER_BYTES)]
    found = HEADER.fullmatch(header) if data.startswith(MAGIC) else None
    if found is None:
        shown = header[:80] if data.startswith(MAGIC) else data[:10]
        raise ValueError(f"{name} begins with {shown!r}, expected NumPy 1.0, half floats ('<f2') in C order")
    shape = tuple(int(number) for number in found[1].decode().split(",") if number.strip())
    if len(shape) != AXES[name] or 0 in shape:
        raise ValueError(f"{name} has the shape {shape}, expected {AXES[name]} axes of 1 or more")
    if 2 * math.prod(shape) != len(data) - end:
        raise ValueError(
            f"{name} has {len(data) - end} bytes of values, its shape {shape} takes {2 * math.prod(shape)}"
        )
    return np.frombuffer(data, "<f2", offset=end).reshape(shape)
