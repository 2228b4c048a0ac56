"""A selection's kept clips -> shuffled training shards: materialized/<selection>/train-00042.{tar,parquet}.

Trainers that read tars in sequence need them shuffled beforehand: clips of one video overlap, so neighbours in clips/
are all but the same example. So the split's places are taken for a circle. Each video cuts it into as many segments as
it has kept clips, from a random place on, and puts one clip into each, at a random place of its middle half: any two
are half a segment apart or more (of 36 clips in 185 000: 2 568 places at least; a blind shuffle has some side by side).
Random is a hash of seed and clip_id, so the order is a function of the selection and the seed, and a shard one of its
plan alone: a worker that dies costs nothing, and a shard made twice has the same bytes.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.clips.tars import TarWriter, parse_sample
from pipeline.config import Count, config_dataclass
from pipeline.errors import DataError
from pipeline.hashing import hash_text
from pipeline.storage import files
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.clips import CLIPS
from schemas.fields import from_rows
from schemas.materialized import MATERIALIZED
from schemas.selections import SELECTIONS
from schemas.videos import SPLITS


@config_dataclass
class MaterializingConfig:
    """How the shuffled shards are cut."""

    clips_per_shard: Count = 2000
    """Clips in one tar: 0.2 GB of 5 s clips. Fewer make more, smaller files, and readers share them more evenly."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShardPlan:
    """The place of every kept clip, in shuffled order, 28 bytes each; names of clips are read from the tars."""

    sources: list[str]
    """The parts of clips/."""
    shards: dict[str, slice]
    """The places of each shard's clips in the arrays below."""
    source: np.ndarray
    """[n] number of the part that holds the clip."""
    offset: np.ndarray
    """[n] where it begins in that part's tar."""
    length: np.ndarray
    """[n] its bytes there."""
    hashes: np.ndarray
    """[n] uint64 hash of seed and clip_id, by which a clip is recognised."""


def plan_shards(workspace: Workspace, selection: str, config: MaterializingConfig, seed: int) -> ShardPlan:
    """The shard and place of each kept clip, a function of the selection and the seed. Reads one part at a time."""
    folder = f"selections/{selection}"
    sources = workspace.require(folder)
    found: list[tuple[np.ndarray, ...]] = []
    for number, part in enumerate(sources):
        kept = _kept(workspace, folder, part)
        hashes = np.array([_hash(seed, name) for name in kept["clip_id"].to_pylist()], np.uint64)
        split = np.array([SPLITS.index(name) for name in kept["split"].to_pylist()], np.int8)
        where = (kept[name].to_numpy().astype(np.int64) for name in ("tar_offset", "tar_bytes"))
        videos = kept["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        found.append((split, _deal(videos, hashes), hashes, np.full(len(kept), number, np.int32), *where))
    split, place, hashes, source, offset, length = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = np.lexsort((hashes, place, split))
    shards: dict[str, slice] = {}
    for index, name in enumerate(SPLITS):
        first, end = map(int, np.searchsorted(split[order], [index, index + 1]))
        for i, start in enumerate(range(first, end, config.clips_per_shard)):
            shards[f"{name}-{i:05d}"] = slice(start, min(start + config.clips_per_shard, end))
    return ShardPlan(sources, shards, source[order], offset[order], length[order], hashes[order])


def _kept(workspace: Workspace, folder: str, part: str) -> pa.Table:
    """The part's kept clips: clip_id, video_id, split, tar_offset, tar_bytes."""
    decided = workspace.read(folder, part, SELECTIONS, ["clip_id", "video_id", "kept", "split"])
    decided = decided.filter(decided["kept"])
    places = workspace.read(CLIPS_FOLDER, part, CLIPS, ["clip_id", "tar_offset", "tar_bytes"])
    joined = decided.join(places, "clip_id", join_type="inner").sort_by("clip_id")
    if len(joined) != len(decided) or joined["tar_offset"].null_count:
        raise DataError(
            f"{workspace.part_uri(folder, part)}: keeps clips that {CLIPS_FOLDER}/{part} does not hold. The clips "
            "were made again since: remove the selection and filter again."
        )
    return joined


def _deal(videos: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """[n] place of each clip in [0, 1): any two of a video's k clips are 1 / 2k apart or more, also around the end."""
    order = np.lexsort((hashes, videos))
    ordered = videos[order]
    first, end = (np.searchsorted(ordered, ordered, side=side) for side in ("left", "right"))
    begins, within = _fraction(hashes[order][first], 0), _fraction(hashes[order], 1)
    places = np.empty(len(videos))
    places[order] = (begins + (np.arange(len(videos)) - first + 0.25 + within / 2) / (end - first)) % 1
    return places


def _fraction(hashes: np.ndarray, number: int) -> np.ndarray:
    """[n] numbers in [0, 1) that are as random as the hashes, and others than those for another `number` (0 or 1)."""
    odd = np.array([0xBF58476D1CE4E5B9, 0x9E3779B97F4A7C15], np.uint64)
    return (hashes * odd[number] >> np.uint64(11)) / 2.0**53


class MaterializePart:
    """Writes one shard."""

    def __init__(self, workspace: Workspace, selection: str, plan: ShardPlan, seed: int) -> None:
        self._workspace, self._selection, self._plan, self._seed = workspace, selection, plan, seed

    def __call__(self, shard: str) -> dict[str, int]:
        """Copy the shard's clips from clips/, in its order, one in memory at a time; return how many.

        Raises:
            DataError: a tar does not hold the clip that the plan expects at a place.
        """
        folder, plan = f"materialized/{self._selection}", self._plan
        split, places = shard.rpartition("-")[0], plan.shards[shard]
        rows: list[dict[str, Any]] = []
        with files.building(self._workspace.tar_uri(folder, shard)) as path, TarWriter(path) as tar:
            for number in range(places.start, places.stop):
                source = plan.sources[plan.source[number]]
                uri = self._workspace.tar_uri(CLIPS_FOLDER, source)
                offset, length = int(plan.offset[number]), int(plan.length[number])
                key, members = parse_sample(files.read_bytes(uri, offset, length), uri, f"offset {offset}")
                if _hash(self._seed, key) != plan.hashes[number]:
                    raise DataError(f"{uri}, offset {offset}: found {key}, which is not the clip its rows describe.")
                offset, length = tar.add(key, members)
                row = {"clip_id": key, "video_id": json.loads(members["json"])["video_id"], "split": split}
                row |= {"part": shard, "tar_offset": offset, "tar_bytes": length, "source_part": source}
                rows.append(row)
        self._workspace.commit(folder, shard, from_rows(rows, MATERIALIZED, shard), MATERIALIZED)
        return {"clips": len(rows)}


def _hash(seed: int, clip_id: str) -> int:
    return hash_text(f"shuffle {seed} {clip_id}")
