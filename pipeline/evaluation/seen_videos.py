"""Which held-out videos a model may have seen after all: those with an upload in another split."""

from pipeline.clips.copies import duplicate_groups
from pipeline.clips.cut_videos import cut_parts
from pipeline.clips.splitting import SplittingConfig, part_splits, shared_splits
from pipeline.storage.workspace import Workspace


def split_of_videos(workspace: Workspace, splitting: SplittingConfig) -> dict[str, str]:
    """The split of every video that is cut."""
    splits: dict[str, str] = {}
    parts = cut_parts(workspace)
    shared = shared_splits(workspace, splitting, parts)
    for part in parts:
        splits |= part_splits(workspace, part, splitting, shared)
    return splits


def leaking_videos(workspace: Workspace, splits: dict[str, str]) -> set[str]:
    """Test videos that have a duplicate in another split, whichever selection's search found the duplicate.

    Args:
        splits: of every video.
    """
    groups = duplicate_groups(workspace)
    seen = {group for video, group in groups.items() if splits.get(video) != "test"}
    return {video for video, group in groups.items() if splits.get(video) == "test" and group in seen}
