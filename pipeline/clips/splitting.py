"""Which split a video is in: a function of the video alone, so no clip of a training video is ever evaluated on.

Uploads of the same content form a group, and a group is in one split: the first of train, validate and test that any of
its videos has by itself. So a video that the coincidence model has trained on before the group was known is never
evaluated on.

The split of copies (`copies.py`) is that of the earliest part with one of them, whatever the collection prescribes for
the others. So parts that arrive later change no split of earlier ones.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.clips.copies import Copy, find_copies
from pipeline.clips.cut_videos import cut_specs, read_videos
from pipeline.config import Share, config_dataclass
from pipeline.formatting import format_number
from pipeline.hashing import hash_text
from pipeline.storage.workspace import NUM_READERS, Workspace
from schemas.videos import SPLITS, VIDEOS


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


def shared_splits(workspace: Workspace, config: SplittingConfig, parts: Sequence[str]) -> dict[str, str]:
    """The split of every video of the parts that has copies among them; {} where no video has."""
    return _splits_of(find_copies(workspace, parts), config)


def _splits_of(groups: Iterable[Sequence[Copy]], config: SplittingConfig) -> dict[str, str]:
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


def count_splits(workspace: Workspace, config: SplittingConfig, copies: Sequence[Sequence[Copy]]) -> Splits:
    """The splits of all videos that gave clips of any clip spec; `copies` is what `find_copies` finds among them."""
    specs, shared = cut_specs(workspace), _splits_of(copies, config)
    counts = dict.fromkeys(SPLITS, 0)

    def kept(part: str) -> dict[str, str]:
        of_specs = (part_splits(workspace, part, config, shared, kept_by=spec) for spec in specs[part])
        return dict(itertools.chain.from_iterable(found.items() for found in of_specs))

    with ThreadPoolExecutor(NUM_READERS) as pool:
        for found in pool.map(kept, specs):
            for split in found.values():
                counts[split] += 1
    moved = [row for group in copies for row in group if row.split not in (None, shared[row.video_id])]
    return Splits(counts, [tuple(row.keys[0] for row in group) for group in copies], len(moved))
