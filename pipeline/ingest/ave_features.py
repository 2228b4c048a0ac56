"""AVE's published features (VGG19 and VGGish, in HDF5) -> features and spans of a workspace, read once and in blocks.

`visual_feature.h5` [rows, 10, H, W, C] and `audio_feature.h5` [rows, 10, A] hold a row per line of `Annotations.txt`.
Where `visual_feature_noisy.h5` and `audio_feature_noisy.h5` are there, each of their rows is a training clip without
an event. Labels are rebuilt from the annotations, and compared with those that are published beside them.

Design note: features are written to a temporary folder first, and moved to the workspace once every row of every file
is known to be right: checking first and reading again would take twice as long, for 8 GB. That takes a quarter of
their size there.
"""

import collections
import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.clips.tars import TarWriter
from pipeline.collection.merging import video_id
from pipeline.errors import ConfigError
from pipeline.features.feature_samples import FeatureClip, all_finite, encode
from pipeline.hashing import hash_bytes
from pipeline.ingest.ave_labels import KEY, NUM_SEGMENTS, check_labels, check_noisy_labels
from pipeline.ingest.ave_rows import ANNOTATIONS, AveRows, read_rows
from pipeline.ingest.h5_arrays import H5Array, open_array
from pipeline.storage import files
from pipeline.storage.layout import SPANS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.features import FEATURES, FeatureRow
from schemas.fields import from_rows
from schemas.samples import FeatureFacts
from schemas.spans import SPANS, SpanRow

SPEC, NAME = "events", "ave"
STAGE = f"features/{SPEC}/{NAME}"
CLIPS_PER_PART = 80  # 40 MB of half floats
BLOCK_ROWS = 4  # of 2 MB in double precision; two blocks are in memory


@dataclass(frozen=True, slots=True)
class _Source:
    """A pair of files, and what its rows are."""

    visual: Path
    audio: Path
    names: list[str]
    splits: list[str]
    spans: list[SpanRow]
    """One for each row."""


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A part that is ready to be moved to the workspace."""

    name: str
    tar: Path
    features: list[FeatureRow]
    spans: list[SpanRow]


class AveFeatures:
    """What a folder of AVE's features holds; all but the values of the features is checked.

    Args:
        folder: with `Annotations.txt`, the lists of the splits and the features.
        as_published: leave test rows in test whose video is in another split too.
    Raises:
        ConfigError: a file is missing, damaged, or is not what the annotations promise; the message names it.
    """

    def __init__(self, folder: Path, as_published: bool = False) -> None:
        pair = folder / "visual_feature.h5", folder / "audio_feature.h5"
        for path in pair:
            if not path.is_file():
                raise ConfigError(f"{path}: no such file. Expected AVE's published features.", "no features")
        self.lists: AveRows = read_rows(folder, as_published)
        if any(row.split is None for row in self.lists.rows):
            raise ConfigError(f"{folder}: no splits there. Expected train_order.h5 or trainSet.txt, and so on.")
        self.labels = check_labels(folder, self.lists)
        rows = self.lists.rows
        spans = [row.span() for row in rows]
        names, splits = [row.name for row in rows], [row.split or "" for row in rows]
        sources = [_Source(*pair, names, splits, spans)]
        self._sizes = [_check_pair(sources[0], len(rows))]
        noisy = folder / "visual_feature_noisy.h5", folder / "audio_feature_noisy.h5"
        if any(path.is_file() for path in noisy):
            self._sizes.append(_check_pair(_Source(*noisy, [], [], []), None))
            if self._sizes[1][1:] != self._sizes[0][1:]:
                raise ConfigError(f"{noisy[0]}: features of {self._sizes[1][1:]}, expected {self._sizes[0][1:]}.")
            sources.append(_noisy_source(*noisy, self._sizes[1][0]))
            self.labels += check_noisy_labels(folder, self._sizes[1][0], len(self.lists.categories))
        self._sources, self._folder, self._as_published = sources, folder, as_published

    @property
    def num_noisy(self) -> int:
        """Rows without an event from the files of noise."""
        return sum(size[0] for size in self._sizes[1:])

    def settings(self) -> dict[str, Any]:
        """What the content follows from, for the stages' records: hashes of the lists, sizes of the features."""
        lists = [path for path in sorted(self._folder.glob("*")) if _is_list(path)]
        content = {path.name: hash_bytes(path.read_bytes()) for path in lists}
        for source in self._sources:
            content |= {path.name: f"{path.stat().st_size} bytes" for path in (source.visual, source.audio)}
        return {"published": NAME, "as_published": self._as_published, "content": content}

    def facts(self) -> dict[str, Any]:
        """For the record of the features: counts, the videos in several splits, and which labels were compared."""
        splits = [split for source in self._sources for split in source.splits]
        counts = {split: splits.count(split) for split in sorted(set(splits))}
        leaks = {"leaks": self.lists.leaks, "num_moved": self.lists.num_moved}
        return {"num_clips": len(splits), "splits": counts, "num_noisy": self.num_noisy, "labels": self.labels} | leaks

    def stage(self, folder: Path) -> Iterator[StagedPart]:
        """Write every part's tar to a folder, part after part; the rows of each belong to what is given.

        Raises:
            ConfigError: a feature is no number, or beyond what a half float holds.
        """
        parts = itertools.count()
        with ThreadPoolExecutor(1) as pool:
            synced = []
            for source in self._sources:
                clips = _read_clips(source)
                for first in range(0, len(source.names), CLIPS_PER_PART):
                    splits = source.splits[first : first + CLIPS_PER_PART]
                    part = f"{next(parts):05d}"
                    path = folder / f"{part}.tar"
                    with TarWriter(path) as tar:
                        features = [_add(tar, clip, split) for split, clip in zip(splits, clips, strict=False)]
                    synced.append(pool.submit(_sync, path))  # while the next part is read: else the move waits for it
                    yield StagedPart(part, path, features, source.spans[first : first + CLIPS_PER_PART])
            for each in synced:
                each.result()


def _is_list(path: Path) -> bool:
    return path.name == ANNOTATIONS or path.name.endswith(("Set.txt", "_order.h5"))


def _noisy_source(visual: Path, audio: Path, num_rows: int) -> _Source:
    """Its rows have no names: those of the videos were never published."""
    names = [f"#noisy_{number}" for number in range(num_rows)]  # no letter of YouTube's
    spans: list[SpanRow] = [
        {"video_id": name, "start_s": 0.0, "end_s": 0.0, "category": "", "source": visual.name} for name in names
    ]
    return _Source(visual, audio, names, ["train"] * num_rows, spans)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(source: _Source, num_rows: int | None) -> Iterator[tuple[H5Array, H5Array]]:
    """The arrays of a pair of files: [rows, 10, H, W, C] and [rows, 10, A]."""
    with (
        open_array(source.visual, KEY, (num_rows, NUM_SEGMENTS, None, None, None)) as visual,
        open_array(source.audio, KEY, (num_rows, NUM_SEGMENTS, None)) as audio,
    ):
        yield visual, audio


def _check_pair(source: _Source, num_rows: int | None) -> tuple[int, int, int, int]:
    """Rows of a pair of files, and R, C, A."""
    with _opened(source, num_rows) as (visual, audio):
        if visual.shape[0] != audio.shape[0]:
            found = f"{audio.shape[0]} rows, expected {visual.shape[0]}, as in {visual.path.name}"
            raise ConfigError(f"{audio.path}: {found}.")
        return visual.shape[0], visual.shape[2] * visual.shape[3], visual.shape[4], audio.shape[2]


def _read_clips(source: _Source) -> Iterator[FeatureClip]:
    """The features of each row, in order. The next block is read while the caller works on this one."""
    with _opened(source, len(source.names)) as (visual, audio), ThreadPoolExecutor(1) as pool:
        starts = range(0, len(source.names), BLOCK_ROWS)
        ends = [min(first + BLOCK_ROWS, len(source.names)) for first in starts]

        def read(number: int) -> list[np.ndarray]:
            return [_read_half(array, starts[number], ends[number]) for array in (visual, audio)]

        blocks = collections.deque([pool.submit(read, 0)])
        for number, first in enumerate(starts):
            if number + 1 < len(starts):
                blocks.append(pool.submit(read, number + 1))
            pictures, sounds = blocks.popleft().result()
            for index, (picture, sound) in enumerate(zip(pictures, sounds, strict=True)):
                name = source.names[first + index]
                clip_id = f"{video_id(name)}_00000000_{SPEC}"
                facts: FeatureFacts = {"clip_id": clip_id, "video_id": name, "start_s": 0.0}
                cells = picture.reshape(NUM_SEGMENTS, -1, picture.shape[-1])
                yield FeatureClip(clip_id, cells, sound, dict(facts))


def _read_half(array: H5Array, first: int, last: int) -> np.ndarray:
    """Rows as half floats; torch rounds them 20 times faster than NumPy.

    Raises:
        ConfigError: a number is none, or rounds to infinity.
    """
    rows = array.read(first, last)
    half = torch.from_numpy(rows).half().numpy()
    if not all_finite(half):
        row, *place = np.argwhere(~np.isfinite(half))[0]
        raise ConfigError(
            f"{array.path}: row {first + row + 1} has {rows[(row, *place)]:g} in segment {place[0]}, expected numbers "
            f"of at most {np.finfo(np.float16).max:.0f}."
        )
    return half


def _add(tar: TarWriter, clip: FeatureClip, split: str) -> FeatureRow:
    offset, length = tar.add(clip.key, encode(clip))
    return {
        "clip_id": clip.key,
        "video_id": clip.facts["video_id"],
        "start_s": clip.facts["start_s"],
        "tar_offset": offset,
        "tar_bytes": length,
        "num_segments": len(clip.visual),
        "num_cells": clip.visual.shape[1],
        "visual_dim": clip.visual.shape[2],
        "audio_dim": clip.audio.shape[1],
        "split": split,
    }


def commit(workspace: Workspace, part: StagedPart) -> None:
    """Move a staged part to the workspace; its table of features is the last, and says that the part is there."""
    with files.building(workspace.tar_uri(STAGE, part.name)) as path:
        shutil.move(part.tar, path)
    workspace.commit(SPANS_FOLDER, part.name, from_rows(part.spans, SPANS, part.name), SPANS)
    workspace.commit(STAGE, part.name, from_rows(part.features, FEATURES, part.name), FEATURES)
