"""Which videos are copies of each other: they share their address or their bytes (`content_hash`).

Copies are known as soon as they are cut. Uploads of the same content that differ in bytes are found much later, from
embeddings (`pipeline/selection/duplicates.py`); `duplicate_groups` joins both.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.clips.cut_videos import cut_parts, read_videos
from pipeline.hashing import hash_text
from pipeline.storage.workspace import NUM_READERS, Workspace
from schemas.duplicates import DUPLICATES

T = TypeVar("T", int, str)
KEYS = ("uri", "content_hash")  # videos that share one of them are copies


@dataclass(frozen=True, slots=True)
class Copy:
    """A video, as one of several of one address or of the same bytes."""

    video_id: str
    part: str
    split: str | None
    """That the collection prescribes."""
    keys: tuple[str, ...]
    """Its address, and the hash of its bytes if they could be read."""


class CopyFinder:
    """Finds the copies in a workspace, as often as parts are cut there: the keys of a part are read once.

    Takes 16 bytes a video: a first pass keeps a number for each key, a second reads the parts that hold equal ones.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._numbers: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}  # of keys, by part and its clip specs

    def find(self, specs: Mapping[str, Sequence[str]]) -> list[list[Copy]]:
        """Groups of two or more videos of one address or of the same bytes, each in order of part and video_id.

        Args:
            specs: the clip specs that each part is cut by, from `cut_specs`: a part is read anew once it is cut by
                others.
        """
        places = {part: (part, tuple(found)) for part, found in specs.items()}
        with ThreadPoolExecutor(NUM_READERS) as pool:
            new = [place for place in places.values() if place not in self._numbers]
            found = pool.map(lambda place: _key_numbers(_read_copies(self._workspace, place[0])), new)
            self._numbers |= zip(new, found, strict=True)
            numbers = {part: self._numbers[place] for part, place in places.items()}
            values, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *numbers.values()]), return_counts=True)
            repeated = values[counts > 1]
            chosen = [part for part, of_part in numbers.items() if _are_among(of_part, repeated).any()]
            copies = pool.map(lambda part: _with_keys(_read_copies(self._workspace, part), repeated), chosen)
            rows = list(itertools.chain.from_iterable(copies))
        rows.sort(key=lambda row: (int(row.part), row.video_id))
        first: dict[str, int] = {}
        links = [(first.setdefault(key, number), number) for number, row in enumerate(rows) for key in row.keys]
        groups = ([rows[number] for number in group] for group in connected(links))
        return [group for group in groups if len(group) > 1]


def find_copies(workspace: Workspace, parts: Sequence[str]) -> list[list[Copy]]:
    """What `CopyFinder` finds among the videos of some parts."""
    return CopyFinder(workspace).find(dict.fromkeys(parts, ()))


def _read_copies(workspace: Workspace, part: str) -> list[Copy]:
    rows = read_videos(workspace, part, ["video_id", "split", *KEYS])
    return [Copy(row["video_id"], part, row["split"], tuple(filter(None, map(row.get, KEYS)))) for row in rows]


def _key_numbers(rows: Iterable[Copy]) -> np.ndarray:
    return np.array([hash_text(key) for row in rows for key in row.keys], np.uint64)


def _with_keys(rows: list[Copy], numbers: np.ndarray) -> list[Copy]:
    """The rows of which a key has one of the numbers, which are in order."""
    return [row for row in rows if _are_among(_key_numbers([row]), numbers).any()]


def _are_among(some: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Which of some numbers are among others that are in order: `np.isin` would sort all of these each time."""
    return np.searchsorted(numbers, some, "right") > np.searchsorted(numbers, some, "left")


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
