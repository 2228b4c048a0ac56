"""The clips of one split."""

from pipeline.clips.splitting import SplittingConfig
from pipeline.storage.layout import CLIPS_FOLDER
from pipeline.storage.workspace import Workspace
from pipeline.training.batching import ClipSet
from pipeline.training.clipsets import load_splits


def load_split(workspace: Workspace, split: str, splitting: SplittingConfig) -> ClipSet:
    """Every kept clip of a split."""
    (clips,) = load_splits(workspace, (split,), splitting, workspace.require(CLIPS_FOLDER))
    return clips
