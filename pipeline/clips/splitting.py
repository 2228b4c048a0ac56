"""Which split a video is in: a function of the video alone, so no clip of a training video is ever evaluated on.

Uploads of the same content form a group, and a group is in one split: the first of train, validate and test that any of
its videos has by itself. So a video that the coincidence model has trained on before the group was known is never
evaluated on, and no video leaves a split that the collection prescribes for it.
"""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from pipeline.config import Share, config_dataclass
from pipeline.storage.workspace import VIDEOS_FOLDER, Workspace
from schemas.duplicates import DUPLICATES
from schemas.videos import SPLITS, VIDEOS

T = TypeVar("T", int, str)


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


def part_splits(workspace: Workspace, part: str, config: SplittingConfig) -> dict[str, str]:
    """The split of each video of a part by itself."""
    rows = workspace.read(VIDEOS_FOLDER, part, VIDEOS, ["video_id", "split"]).to_pylist()
    return {row["video_id"]: split_of(row["video_id"], config, row["split"]) for row in rows}


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
    """By video_id, the group of every video that some selection found to have another upload; {} where none looked.

    What one selection found holds for all: groups of two selections that share a video are one. A group is named after
    its smallest video_id.
    """
    links: list[tuple[str, str]] = []
    for selection in workspace.names("duplicates"):
        rows = workspace.read_all(f"duplicates/{selection}", DUPLICATES, ["video_id", "group_id"])
        links += zip(rows["video_id"].to_pylist(), rows["group_id"].to_pylist(), strict=True)
    return {video: group[0] for group in connected(links) for video in group}
