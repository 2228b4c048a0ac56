"""What the clips of a video show of its pictures: here each picture as a whole, one clip for each planned span.

`SpecCutting` hands over decoded pictures and gets back what it keeps of each, by time; of what a span shows it then
asks for the clips. The other way is in `mouth_cutting.py`: a clip for each face.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import simplejpeg

from pipeline.clips.statistics import Look, look_at, picture_levels
from pipeline.media.streams import Frame

Timed = tuple[float, Any]  # the time of a picture, and what is kept of it


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What one clip shows of its span."""

    jpegs: list[bytes]
    """Its frames, if it is kept."""
    levels: dict[str, float | None]
    """Statistics of its frames, by field of `schemas.clips.CLIPS`."""
    outcome: str = "kept"
    """Kept, or why it cannot be for what it shows."""
    id_ending: str = ""
    """What its id has beside those of other clips of the span."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Keys of its JSON beside those of every clip."""
    track: dict[str, Any] | None = None
    """Its row of `schemas.tracks.TRACKS` without the ids, if it follows a face."""


class Pictures(Protocol):
    """What is kept of a video's pictures, and the clips that come of it."""

    def add(self, frame: Frame) -> Iterable[Timed]:
        """Take in a picture; give what is kept of those that nothing later can change, in the order of time."""

    def finish(self) -> Iterable[Timed]:
        """What is kept of the last pictures."""

    def show(self, kept: list[Any]) -> list[Shown]:
        """The clips of a span, of what is kept of the pictures that its ticks show: at least one."""

    def note(self) -> str | None:
        """What the video's row says of its pictures."""


class WholePictures:
    """Each picture is a frame as it is decoded.

    Args:
        jpeg_quality: 1 to 100.
        are_whole: whether they fill the frame, without bars that decoding adds.
    """

    def __init__(self, jpeg_quality: int, are_whole: bool = True) -> None:
        self._quality, self._are_whole = jpeg_quality, are_whole

    def add(self, frame: Frame) -> Iterable[Timed]:
        """The picture as JPEG, and what statistics need of it."""
        return [(frame.time_s, (encode_jpeg(frame.pixels, self._quality), look_at(frame.pixels)))]

    def finish(self) -> Iterable[Timed]:
        """Nothing: no picture waits for another."""
        return []

    def show(self, kept: list[tuple[bytes, Look]]) -> list[Shown]:
        """One clip of all that is shown."""
        levels = picture_levels([look for _, look in kept], self._are_whole)
        return [Shown(jpegs=[jpeg for jpeg, _ in kept], levels=levels)]

    def note(self) -> str | None:
        """Nothing."""
        return None


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """[H, W, 3] uint8 RGB as JPEG."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality)
