"""Features in which an event shows: one direction of its category in one cell of the picture, and one in the sound."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.clips.tars import TarWriter
from pipeline.features.feature_samples import FeatureClip, decode, encode
from pipeline.storage import files
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet

CATEGORIES = ("bark", "bell", "horn")
NUM_SEGMENTS, NUM_CELLS, VISUAL_DIM, AUDIO_DIM = 6, 5, 8, 7
SIZES = {
    "num_segments": NUM_SEGMENTS,
    "num_cells": NUM_CELLS,
    "visual_dim": VISUAL_DIM,
    "audio_dim": AUDIO_DIM,
    "categories": CATEGORIES,
}


def event_clips(workspace: Workspace, count: int, seed: int = 0, unlabelled: int = 0) -> ClipSet[FeatureClip]:
    """Clips of as many videos, the last `unlabelled` of them without labels; each has a run of one category."""
    rng = np.random.default_rng([seed, count])
    directions = np.random.default_rng(0).standard_normal((2, len(CATEGORIES), max(VISUAL_DIM, AUDIO_DIM)))
    folder, part = "features/events/made", f"{seed:05d}"
    rows = []
    with files.building(workspace.tar_uri(folder, part)) as path, TarWriter(path) as tar:
        for number in range(count):
            category = int(rng.integers(len(CATEGORIES)))
            first, last = sorted(rng.integers(NUM_SEGMENTS + 1, size=2).tolist())
            key = f"v{seed}_{number:04d}"
            clip = _render(rng, key, directions[:, category], range(first, last))
            offset, size = tar.add(key, encode(clip))
            names = [CATEGORIES[category] if first <= t < last else None for t in range(NUM_SEGMENTS)]
            is_labelled = number < count - unlabelled
            rows.append(_row(key, part, offset, size, names if is_labelled else [None] * NUM_SEGMENTS, is_labelled))
    return ClipSet(workspace, folder, pa.Table.from_pylist(rows, schema=ROW), decode)


ROW = pa.schema(
    {
        "clip_id": pa.string(),
        "video_id": pa.string(),
        "part": pa.string(),
        "tar_offset": pa.int64(),
        "tar_bytes": pa.int64(),
        "categories": pa.list_(pa.string()),
        "tag": pa.string(),
        "is_labelled": pa.bool_(),
    }
)


def _row(key: str, part: str, offset: int, size: int, names: Sequence[str | None], is_labelled: bool) -> dict:
    tag = next((name for name in names if name), None)
    place = {"clip_id": key, "video_id": key, "part": part, "tar_offset": offset, "tar_bytes": size}
    return place | {"categories": names, "tag": tag, "is_labelled": is_labelled}


def _render(rng: np.random.Generator, key: str, directions: np.ndarray, seconds: range) -> FeatureClip:
    visual = 0.3 * rng.standard_normal((NUM_SEGMENTS, NUM_CELLS, VISUAL_DIM))
    audio = 0.3 * rng.standard_normal((NUM_SEGMENTS, AUDIO_DIM))
    for second in seconds:
        visual[second, rng.integers(NUM_CELLS)] += directions[0, :VISUAL_DIM]
        audio[second] += directions[1, :AUDIO_DIM]
    return FeatureClip(key, visual.astype(np.float16), audio.astype(np.float16), {"clip_id": key})
