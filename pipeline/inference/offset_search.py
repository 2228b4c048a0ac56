"""A video against itself with its sound shifted -> how late its sound is, by what moves and by the model.

Two estimates. By motion: how much each of 16 cells of the picture changes, at its own rate up to FRAME_RATE_HZ,
against when its sound begins and how loud it is (`metrics.motion_synchrony`). By the model: the contrastive logit of
the middle of each clip's frames with as much sound, shifted.

Design note: the model alone would not do. Its embedding is the mean over a clip's frames, one a second, and over its
sound, so that it knows what is seen and heard and not when; it has learnt to distinguish videos, not moments. On the
synthetic world it finds a shift of half a second as often as chance does, at 1 and at 10 frames a second.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.clip_specs import BASE, ClipSpec
from pipeline.errors import ClipError, ConfigError
from pipeline.inference.match_sides import MatchModel, Sides
from pipeline.inference.matching_pairs import naming
from pipeline.media.decoding import Decoding
from pipeline.media.streams import FULL_SCALE, Frame
from pipeline.metrics.motion_synchrony import (
    CURVE_HZ,
    MAX_OFFSET_S,
    best_offset,
    motion_curves,
    offset_curve,
    sound_curves,
)
from pipeline.storage import files

FRAME_RATE_HZ, HEIGHT, WIDTH = 25.0, 48, 64  # of the pictures whose changes are counted
NUM_CELLS = 4  # down and across: what moves in one counts beside what moves elsewhere
MAX_S = 600.0  # of a video that is looked at: 20 MB of sound
MODEL_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Offset:
    """How late the sound of one video is."""

    offset_s: float | None
    """By motion; above 0 the sound is late. None where nothing moves."""
    confidence: float
    """How far the best correlation stands out, 0 to 4; around 0 where what moves repeats itself or makes no sound."""
    model_offset_s: float | None
    """By the model's logit."""
    model_confidence: float
    """Likewise, in logits."""


ROWS = pa.schema(
    {
        "video": pa.string(),
        **dict.fromkeys(("offset_s", "confidence", "model_offset_s", "model_confidence"), pa.float32()),
        "reason": pa.string(),
        "detail": pa.string(),
    }
)


class OffsetSearch:
    """Finds offsets of videos.

    Raises:
        ConfigError: clips are so short that nothing is left of them at the largest shift.
    """

    def __init__(self, model: MatchModel) -> None:
        self._sides = Sides(shifted_model(model))

    def __call__(self, uri: str) -> Offset:
        """The offset of a video.

        Raises:
            ClipError: it has no picture or no sound, cannot be decoded, or is too short or silent.
            DataError: there is no such file.
        """
        with files.local_copy(uri) as path:
            by_motion = best_offset(_motion_scores(path))
        picture, sound = self._sides.both(uri)
        num = min(len(picture.embeddings), len(sound.embeddings))
        heard = np.flatnonzero(sound.is_usable[:num])
        if not len(heard):
            raise ClipError("silent", "no clip of it is heard.")
        said = self._sides.model.judge(picture.embeddings[heard][:, None], sound.embeddings[heard])
        return Offset(*by_motion, *best_offset(said.logit.mean(axis=0).astype(float), MODEL_STEP_S))


def find_offsets(model: MatchModel, uris: Iterable[str], report: Callable[[str], None] = lambda uri: None) -> pa.Table:
    """A row of ROWS for each video, in their order: with its offset, or with the reason why there is none.

    Raises:
        ConfigError: as `OffsetSearch`.
    """
    search, rows = OffsetSearch(model), []
    for uri in uris:
        row: dict[str, Any] = {"video": uri}
        try:
            with naming("", uri):
                row |= dataclasses.asdict(search(uri))
        except ClipError as error:
            row |= {"reason": error.reason, "detail": error.detail}
        rows.append(row)
        report(uri)
    return pa.Table.from_pylist(rows, ROWS)


def shifted_model(model: MatchModel) -> MatchModel:
    """The model of the middle of clips: pictures are embedded as [B, D], sounds as [B, S, D] at S shifts."""
    spec = model.spec
    first, last = math.ceil(MAX_OFFSET_S * spec.frame_rate_hz), round((spec.clip_s - MAX_OFFSET_S) * spec.frame_rate_hz)
    if last <= first:
        raise ConfigError(
            f"clips of {spec.clip_s:g} s: expected more than {2 * MAX_OFFSET_S:g} s, of which a frame is left at "
            f"shifts of up to {MAX_OFFSET_S:g} s either way."
        )
    most = round(MAX_OFFSET_S / MODEL_STEP_S)
    length = round((spec.clip_s - 2 * MAX_OFFSET_S) * spec.sample_rate_hz)
    starts = [round((MAX_OFFSET_S + shift * MODEL_STEP_S) * spec.sample_rate_hz) for shift in range(-most, most + 1)]

    def embed_pictures(clips: list[np.ndarray]) -> np.ndarray:
        return model.embed_pictures([np.ascontiguousarray(clip[first:last]) for clip in clips])

    def embed_sounds(clips: list[np.ndarray]) -> np.ndarray:
        return np.stack([model.embed_sounds([clip[start : start + length] for start in starts]) for clip in clips])

    return dataclasses.replace(model, embed_pictures=embed_pictures, embed_sounds=embed_sounds)


def _motion_scores(path: Path) -> np.ndarray:
    """What `offset_curve` gives of a local file's motion and sound."""
    spec = ClipSpec(frame_rate_hz=FRAME_RATE_HZ, frame_height=HEIGHT, frame_width=WIDTH, exact_frames=True)
    decoding = Decoding(path, {BASE: spec}, max_duration_s=MAX_S)
    with contextlib.closing(iter(decoding)) as items:
        times_s, changes, samples = _changes_and_sound(items)
    curves = sound_curves(samples / np.float32(FULL_SCALE), spec.sample_rate_hz)
    if len(times_s) < 2:
        raise ClipError("no_frame", f"{len(times_s)} pictures that follow another, expected 2 or more.")
    try:
        return offset_curve(motion_curves(times_s, changes, min(len(curves[0]), int(times_s[-1] * CURVE_HZ))), curves)
    except ValueError as error:
        raise ClipError("too_short", str(error)) from error


def _changes_and_sound(items: Iterable[np.ndarray | Frame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [F] of pictures from the second on, what in each cell differs from the one before [F, C], and sound [T]."""
    times_s: list[float] = []
    changes: list[np.ndarray] = []
    sound = [np.zeros(0, np.int16)]
    before: np.ndarray | None = None
    for item in items:
        if not isinstance(item, Frame):
            sound.append(item)
            continue
        grey = item.pixels.mean(axis=2, dtype=np.float32)
        if before is not None:
            times_s.append(item.time_s)
            cells = (NUM_CELLS, HEIGHT // NUM_CELLS, NUM_CELLS, WIDTH // NUM_CELLS)
            changes.append(np.abs(grey - before).reshape(cells).mean(axis=(1, 3)).ravel())
        before = grey
    return np.array(times_s), np.array(changes), np.concatenate(sound)
