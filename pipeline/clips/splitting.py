"""Which split a video is in: a function of the video alone, so no clip of a training video is ever evaluated on.

Uploads of the same content form a group, and a group is in one split: the first of train, validate and test that any of
its videos has by itself. So a video that the coincidence model has trained on before the group was known is never
evaluated on.

Videos of one address or of the same bytes (`content_hash`) are copies, known as soon as they are cut: their split is
that of the earliest part with one of them, whatever the collection prescribes for the others. So parts that arrive
later change no split of earlier ones.
"""

import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pipeline.config import Share, config_dataclass
from pipeline.errors import MissingError
from pipeline.formatting import format_number
from pipeline.storage.layout import CLIPS_FOLDER, VIDEOS_FOLDER
from pipeline.storage.workspace import Workspace
from schemas.duplicates import DUPLICATES
from schemas.videos import SPLITS, VIDEOS

T = TypeVar("T", int, str)
KEYS = ("uri", "content_hash")  # videos that share one of them are copies
NUM_READERS = 16  # parts read at once: an object store answers in 30 ms


@config_dataclass
class SplittingConfig:
    """Shares of the videos; what is left after validate and test trains."""

    validate_fraction: Share = 0.02
    """Videos that choose the best checkpoint. More gives a steadier choice and less to train on."""
    test_fraction: Share = 0.02
    """Videos that only evaluation sees."""

    def __post_init__(self) -> None:
        if self.validate_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validate_fraction = {self.validate_fraction}, test_fraction = {self.test_fraction}: "
                "expected less than 1 together, because the rest trains."
            )


def hash_text(text: str) -> int:
    """A number from 0 to 2**64 - 1 that looks random and depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def split_of(video_id: str, config: SplittingConfig, prescribed: str | None = None) -> str:
    """train, validate or test, from a hash of `video_id`, unless the collection prescribes one."""
    if prescribed is not None:
        return prescribed
    position = hash_text(f"split {video_id}") / 2**64
    if position < config.test_fraction:
        return "test"
    return "validate" if position < config.test_fraction + config.validate_fraction else "train"


def group_split(splits: Iterable[str]) -> str:
    """The split of videos that are uploads of the same content, from the split of each by itself."""
    return min(splits, key=SPLITS.index)


def cut_specs(workspace: Workspace) -> dict[str, list[str]]:
    """The clip specs that each part is cut by, the parts in order."""
    found: dict[str, list[str]] = {}
    for spec in workspace.names("videos"):
        for part in workspace.parts(f"videos/{spec}"):
            found.setdefault(part, []).append(spec)
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def cut_parts(workspace: Workspace) -> list[str]:
    """The parts that are cut by any clip spec, in order: splits are by video, the same for all specs."""
    return list(cut_specs(workspace))


def unlabelled_parts(workspace: Workspace, stage: str) -> list[str]:
    """The parts that are cut, by any clip spec, and that a stage about videos, such as spans, does not have yet.

    Raises:
        ConfigError: nothing is cut; the topic is `missing`.
    """
    parts = cut_parts(workspace)
    if not parts:
        raise workspace.error(CLIPS_FOLDER, "nothing there yet.")
    finished = set(workspace.parts(stage))
    return [part for part in parts if part not in finished]


def read_videos(workspace: Workspace, part: str, columns: list[str]) -> list[dict[str, Any]]:
    """Rows of a part's videos as `base` has them, else as the first other spec that it is cut by."""
    try:
        return workspace.read(VIDEOS_FOLDER, part, VIDEOS, columns).to_pylist()
    except MissingError:
        for spec in workspace.names("videos"):
            with contextlib.suppress(MissingError):
                return workspace.read(f"videos/{spec}", part, VIDEOS, columns).to_pylist()
        raise


def part_splits(
    workspace: Workspace, part: str, config: SplittingConfig, shared: Mapping[str, str], kept_by: str | None = None
) -> dict[str, str]:
    """The split of each video of a part: by itself, or in `shared`, the splits of copies from `shared_splits`.

    Args:
        kept_by: a clip spec; leave out videos that gave no clip of it.
    """
    rows = _read_kept(workspace, part, ["video_id", "split", "outcome"], kept_by)
    return {row["video_id"]: _split_in(row, config, shared) for row in rows}


def drawn_splits(
    workspace: Workspace, part: str, config: SplittingConfig, shared: Mapping[str, str], kept_by: str | None = None
) -> dict[str, str | None]:
    """What `part_splits` gives, but None for videos whose owners refuse training: no learner draws their clips."""
    rows = _read_kept(workspace, part, ["video_id", "split", "rights", "outcome"], kept_by)
    return {row["video_id"]: None if row["rights"] == "no_train" else _split_in(row, config, shared) for row in rows}


def _split_in(video: dict[str, Any], config: SplittingConfig, shared: Mapping[str, str]) -> str:
    return shared.get(video["video_id"]) or split_of(video["video_id"], config, video["split"])


def _read_kept(workspace: Workspace, part: str, columns: list[str], kept_by: str | None) -> list[dict[str, Any]]:
    """Rows of a part's videos, or only of those that gave a clip of the clip spec `kept_by`."""
    if kept_by is None:
        return read_videos(workspace, part, columns)
    rows = workspace.read(f"videos/{kept_by}", part, VIDEOS, columns).to_pylist()
    return [row for row in rows if row["outcome"] == "kept"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One of several videos of one address, or of the same bytes."""

    video_id: str
    part: str
    split: str | None
    """That the collection prescribes."""
    keys: tuple[str, ...]
    """Its address, and the hash of its bytes if they could be read."""


def find_copies(workspace: Workspace, parts: Sequence[str]) -> list[list[Copy]]:
    """Groups of two or more videos of one address or of the same bytes, each in order of part and video_id.

    Takes 16 bytes a video: a first pass keeps a number for each key, a second reads the parts that hold equal ones.
    """
    with ThreadPoolExecutor(NUM_READERS) as pool:
        numbers = list(pool.map(lambda part: _key_numbers(_read_copies(workspace, part)), parts))
        values, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *numbers]), return_counts=True)
        repeated = values[counts > 1]
        chosen = [part for part, found in zip(parts, numbers, strict=True) if np.isin(found, repeated).any()]
        rows = [row for found in pool.map(lambda part: _read_copies(workspace, part), chosen) for row in found]
    rows.sort(key=lambda row: (int(row.part), row.video_id))
    first: dict[str, int] = {}
    links = [(first.setdefault(key, number), number) for number, row in enumerate(rows) for key in row.keys]
    groups = ([rows[number] for number in group] for group in connected(links))
    return [group for group in groups if len(group) > 1]


def _read_copies(workspace: Workspace, part: str) -> list[Copy]:
    rows = read_videos(workspace, part, ["video_id", "split", *KEYS])
    return [Copy(row["video_id"], part, row["split"], tuple(filter(None, map(row.get, KEYS)))) for row in rows]


def _key_numbers(rows: list[Copy]) -> np.ndarray:
    return np.array([hash_text(key) for row in rows for key in row.keys], np.uint64)


def shared_splits(workspace: Workspace, config: SplittingConfig, parts: Sequence[str]) -> dict[str, str]:
    """The split of every video of the parts that has copies among them; {} where no video has."""
    return _splits_of(find_copies(workspace, parts), config)


def _splits_of(groups: list[list[Copy]], config: SplittingConfig) -> dict[str, str]:
    shared: dict[str, str] = {}
    for group in groups:
        splits = [split_of(row.video_id, config, row.split) for row in group if row.part == group[0].part]
        shared |= dict.fromkeys((row.video_id for row in group), group_split(splits))
    return shared


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of the videos that gave clips."""

    num_videos: dict[str, int]
    """By split, all of SPLITS."""
    copies: list[tuple[str, ...]]
    """Addresses of each group of videos of the same bytes or address."""
    num_moved: int
    """Copies that are in another split than the collection prescribes for them."""

    def __str__(self) -> str:
        """`63 train, 1 validate, 16 test`, the zeros too."""
        return ", ".join(f"{format_number(count)} {split}" for split, count in self.num_videos.items())


def count_splits(workspace: Workspace, config: SplittingConfig) -> Splits:
    """The splits of all videos that gave clips of any clip spec, and which of them are copies."""
    specs = cut_specs(workspace)
    groups = find_copies(workspace, list(specs))
    shared = _splits_of(groups, config)
    counts = dict.fromkeys(SPLITS, 0)

    def kept(part: str) -> dict[str, str]:
        of_specs = (part_splits(workspace, part, config, shared, kept_by=spec) for spec in specs[part])
        return dict(itertools.chain.from_iterable(found.items() for found in of_specs))

    with ThreadPoolExecutor(NUM_READERS) as pool:
        for found in pool.map(kept, specs):
            for split in found.values():
                counts[split] += 1
    moved = [row for group in groups for row in group if row.split not in (None, shared[row.video_id])]
    return Splits(counts, [tuple(row.keys[0] for row in group) for group in groups], len(moved))


def connected(links: Iterable[tuple[T, T]]) -> list[list[T]]:
    """Numbers or names that links join, directly or through others: each group in order, the groups by their first."""
    above: dict[T, T] = {}

    def first(item: T) -> T:
        while above.setdefault(item, item) != item:
            above[item] = item = above[above[item]]
        return item

    for link in links:
        low, high = sorted(map(first, link))
        above[high] = low
    groups: dict[T, list[T]] = {}
    for item in sorted(above):
        groups.setdefault(first(item), []).append(item)
    return list(groups.values())


def duplicate_groups(workspace: Workspace) -> dict[str, str]:
    """By video_id, the group of every video that has a copy, or another upload that some selection found.

    What one selection found holds for all: groups of two selections that share a video are one. A group is named after
    its smallest video_id.
    """
    copies = find_copies(workspace, cut_parts(workspace))
    links = [(group[0].video_id, row.video_id) for group in copies for row in group]
    for selection in workspace.names("duplicates"):
        rows = workspace.read_all(f"duplicates/{selection}", DUPLICATES, ["video_id", "group_id"])
        links += zip(rows["video_id"].to_pylist(), rows["group_id"].to_pylist(), strict=True)
    return {video: group[0] for group in connected(links) for video in group}
