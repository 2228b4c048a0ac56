"""Clips with a vector of their picture and one of their sound, which other models computed, as a `ClipSet`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.clips.samples import Clip
from pipeline.clips.splitting import SplittingConfig
from pipeline.errors import ConfigError
from pipeline.outside.vectors import check_vectors, read_vectors
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import load_splits


class VectorClip(NamedTuple):
    """What other models say of one clip."""

    key: str
    """The clip's."""
    picture: np.ndarray
    """[D_v] float32"""
    sound: np.ndarray
    """[D_a] float32"""


class VectorSet(ClipSet[Clip]):
    """Clips that have both vectors, all in memory: 4 GB for a million clips of 512 numbers each.

    Args:
        workspace, folder, rows: as of a `ClipSet`.
        picture: [clips, D_v] float32.
        sound: [clips, D_a] float32.
    """

    def __init__(
        self, workspace: Workspace, folder: str, rows: pa.Table, picture: np.ndarray, sound: np.ndarray
    ) -> None:
        super().__init__(workspace, folder, rows)
        self.picture, self.sound = picture, sound


def load_vectors(
    workspace: Workspace,
    inputs: tuple[str, str],
    splits: Sequence[str],
    splitting: SplittingConfig,
    parts: Sequence[str],
    spec: str,
) -> list[VectorSet]:
    """The kept clips of each of the splits that have both vectors, of these parts of clips.

    Args:
        inputs: `table.column` of the pictures' vectors and of the sounds'.
    Raises:
        ConfigError: there are no such vectors of clips of the spec, or some of another length.
    """
    for where in inputs:
        check_vectors(workspace, where, spec)
    return [
        _with_vectors(workspace, inputs, clips, f"clips/{spec}")
        for clips in load_splits(workspace, splits, splitting, parts, spec)
    ]


def read_vector_clips(
    workspace: Workspace, inputs: tuple[str, str], part: str, clip_ids: list[str], batch_size: int
) -> Iterator[list[VectorClip]]:
    """Those of the clips of a part that have both vectors, `batch_size` at a time, in order."""
    is_there, picture, sound = _both(workspace, inputs, part, clip_ids)
    keys = [key for key, has_both in zip(clip_ids, is_there, strict=True) if has_both]
    for start in range(0, len(keys), batch_size):
        rows = slice(start, start + batch_size)
        yield [VectorClip(*clip) for clip in zip(keys[rows], picture[rows], sound[rows], strict=True)]


def _with_vectors(workspace: Workspace, inputs: tuple[str, str], clips: ClipSet[Clip], folder: str) -> VectorSet:
    table = clips.rows
    part_of = np.array(table["part"].to_pylist(), dtype=str)
    is_kept = np.zeros(len(table), bool)
    pictures, sounds = [], []
    for part in dict.fromkeys(part_of.tolist()):  # in the order of the rows, whose parts follow one another
        rows = np.flatnonzero(part_of == part)
        is_there, picture, sound = _both(workspace, inputs, part, table["clip_id"].take(rows).to_pylist())
        is_kept[rows[is_there]] = True
        if is_there.any():
            pictures.append(picture)
            sounds.append(sound)
    picture, sound = (_joined(of, where) for of, where in zip((pictures, sounds), inputs, strict=True))
    return VectorSet(workspace, folder, table.filter(pa.array(is_kept)), picture, sound)


def _both(
    workspace: Workspace, inputs: tuple[str, str], part: str, clip_ids: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which clips have both vectors [n], and the vectors of these."""
    picture, sound = (read_vectors(workspace, where, part, clip_ids) for where in inputs)
    is_there = picture.is_there & sound.is_there
    return is_there, picture.values[is_there[picture.is_there]], sound.values[is_there[sound.is_there]]


def _joined(parts: list[np.ndarray], where: str) -> np.ndarray:
    """Raises a ConfigError where parts have vectors of several lengths."""
    if not parts:
        return np.zeros((0, 0), np.float32)
    lengths = sorted({rows.shape[1] for rows in parts})
    if len(lengths) > 1:
        raise ConfigError(f"vectors {where}: {lengths} numbers in different parts, expected one length.")
    return np.concatenate(parts)
